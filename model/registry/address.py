"""The address of Redis as one URL: a single server, one that Sentinel names, or a cluster.

    redis://[user:password@]host[:port][/db]                       one server
    unix://[user:password@]/path[?db=0]                            one server, by its socket
    redis+sentinel://[user:password@]host[:port],.../master[/db]   whichever is the master now
    redis+cluster://[user:password@]host[:port],...                any nodes; they name the others

`rediss` in place of `redis` is TLS, also to the sentinels. Options follow as in a query: see
`OPTIONS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Kind = Literal["server", "socket", "sentinel", "cluster"]

OPTIONS: Mapping[str, str] = {
    "ssl_ca_certs": "file with the certificates that the server's must descend from",
    "ssl_certfile": "file with the certificate that this client shows",
    "ssl_keyfile": "file with its private key",
    "ssl_check_hostname": "no: the server's certificate may name another host",
    "sentinel_username": "user at the sentinels, where they have users of their own",
    "sentinel_password": "password at the sentinels",
    "db": "number of the database (unix:// only)",
}
"""What may follow `?` in a URL; the names are those of redis-py."""

EXPECTED = (
    "expected redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB, "
    "redis+cluster://HOST:PORT,HOST:PORT (rediss for TLS) or unix:///PATH"
)

ENCODE = (
    "in a user or password, write what is not a letter or digit percent-encoded: / is %2F, "
    "? is %3F, # is %23, @ is %40, % is %25"
)
"""No message repeats any of a URL: what looks like its path may be the end of a password."""

_KINDS: Mapping[str, Kind] = {"": "server", "sentinel": "sentinel", "cluster": "cluster"}
_PORTS: Mapping[Kind, int] = {"server": 6379, "cluster": 6379, "sentinel": 26379}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """A parsed URL. Its `str` is for logs and messages: it has no user and no password."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    """Host and port of the server, of the sentinels or of some nodes; none for a socket."""
    path: str = ""
    """Path of the Unix socket."""
    master: str = ""
    """The name that the sentinels know the master by."""
    database: int = 0
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The given ones of `OPTIONS`, without `db`."""

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse a URL; ValueError, which never repeats any of it, if it is not usable."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(f"{EXPECTED}; {ENCODE}") from None
        behind = parts.query + parts.fragment
        if (
            parts.fragment
            or "#" in url
            or "@" in behind
            or (_has_login(parts) and "@" in parts.path)
        ):
            raise ValueError(f"there is a / ? # or @ where none can be: {ENCODE}")
        options = _options(parts)
        user = unquote(parts.username or "") or None
        password = None if parts.password is None else unquote(parts.password)
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError(EXPECTED)
            database = _database(options.pop("db", ""))
            return cls(
                kind="socket", path=unquote(parts.path), database=database,
                username=user, password=password, options=options,
            )  # fmt: skip
        protocol, _, topology = parts.scheme.partition("+")
        if protocol not in ("redis", "rediss") or topology not in _KINDS or "db" in options:
            raise ValueError(EXPECTED)
        kind = _KINDS[topology]
        master, database = _place(kind, parts.path)
        return cls(
            kind=kind, hosts=_hosts(parts, _PORTS[kind]), master=master, database=database,
            tls=protocol == "rediss", username=user, password=password, options=options,
        )  # fmt: skip

    def __str__(self) -> str:
        if self.kind == "socket":
            return self.path
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        if self.kind == "sentinel":
            return f"{self.master} of the sentinels {hosts}"
        return f"the cluster of {hosts}" if self.kind == "cluster" else hosts

    @property
    def keywords(self) -> dict[str, Any]:
        """Login, TLS and, but for a cluster, the place: keywords of redis-py's clients."""
        given: dict[str, Any] = {"username": self.username, "password": self.password}
        given = {name: value for name, value in given.items() if value is not None}
        match self.kind:
            case "socket":
                given |= {"unix_socket_path": self.path, "db": self.database}
            case "server":
                ((host, port),) = self.hosts
                given |= {"host": host, "port": port, "db": self.database}
            case "sentinel":
                given |= {"db": self.database}
        return given | self._encryption

    @property
    def sentinel_keywords(self) -> dict[str, Any]:
        """Keywords for the sentinels, which need not know the server's users."""
        names = {"username": "sentinel_username", "password": "sentinel_password"}
        login = {word: self.options[name] for word, name in names.items() if name in self.options}
        return login | self._encryption

    @property
    def _encryption(self) -> dict[str, Any]:
        if not self.tls:
            return {}
        given = {name: v for name, v in self.options.items() if name.startswith("ssl_")}
        check = given.pop("ssl_check_hostname", "yes") == "yes"
        return {"ssl": True, "ssl_check_hostname": check, **given}


def _has_login(parts: SplitResult) -> bool:
    """Whether an @ behind the hosts would be of a user or password that ended too early."""
    return parts.scheme != "unix" or bool(parts.netloc)


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - OPTIONS.keys())
    if unknown:
        raise ValueError(f"of options there are {', '.join(OPTIONS)} alone; {ENCODE}")
    if options.get("ssl_check_hostname", "yes") not in ("yes", "no"):
        raise ValueError("ssl_check_hostname is yes or no")
    encrypted = parts.scheme.startswith("rediss")
    if not encrypted and any(name.startswith("ssl_") for name in options):
        raise ValueError("ssl_... options need TLS: begin the URL with rediss")
    for_sentinels = any(name.startswith("sentinel_") for name in options)
    if for_sentinels and not parts.scheme.endswith("+sentinel"):
        raise ValueError("sentinel_... options need redis+sentinel://")
    return options


def _hosts(parts: SplitResult, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        try:
            one = urlsplit(f"//{place}")
            host, port = one.hostname, one.port
        except ValueError:
            raise ValueError(f"{EXPECTED}; {ENCODE}") from None
        if host is None:
            raise ValueError(EXPECTED)
        hosts.append((host, port or default_port))
    return tuple(hosts)


def _place(kind: Kind, path: str) -> tuple[str, int]:
    """The master's name and the database's number, from what follows the hosts."""
    names = [unquote(name) for name in path.strip("/").split("/") if name]
    master = names.pop(0) if kind == "sentinel" and names else ""
    if len(names) > 1 or (kind == "sentinel" and not master):
        raise ValueError(EXPECTED)
    database = _database(names[0] if names else "")
    if kind == "cluster" and database:
        raise ValueError("a cluster has only database 0")
    return master, database


def _database(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError(f"the database is a number; {EXPECTED}; {ENCODE}")
    return int(text or 0)
