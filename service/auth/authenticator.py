"""Which requests are let in: those with a known key, its scope and rate.

If no keys are set up, only callers on this machine are let in, unless the settings let in anybody.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from uvicorn import main as uvicorn_command

from service.auth.keys import ApiKey, KeyFile, Scope, find_key, parse_keys
from service.ops.metrics import Metrics
from service.ops.settings import is_local
from service.schemas.errors import Forbidden, TooManyRequests, Unauthenticated

_UVICORN: click.Command = uvicorn_command


def host_of_command(command: Sequence[str] = sys.argv) -> str | None:
    """The host of `uvicorn ...` or `python -m uvicorn ...`, from its options or UVICORN_HOST.

    Before the first request only the command line says it. None if this process was started in
    another way, or listens at a socket that it was handed.
    """
    program = Path(command[0])
    if program.name != "uvicorn" and program.parts[-2:] != ("uvicorn", "__main__.py"):
        return None
    try:
        options = _UVICORN.make_context("uvicorn", list(command[1:])).params
    except (click.ClickException, click.exceptions.Exit):
        return None
    if options["uds"] is not None or options["fd"] is not None:
        return None
    host: str = options["host"]
    return host


class TokenBucket:
    """Gets `per_second` tokens a second, up to `burst`; each request takes at least one.

    What a request costs beyond that may leave a debt: a dear one is answered, and the next waits.
    """

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    def wait_seconds(self) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0

    def take(self, tokens: float) -> None:
        """Take more tokens for a request that was let in, whether there are so many or not."""
        self._tokens -= tokens


_LOOK_SECONDS = 0.5
"""Between looks at the key file: so long a removed key may still work."""


class Authenticator:
    """Lets requests in or raises; one per application."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        keys: str = "",
        file: Path | None = None,
        allow_anonymous: bool = False,
        requests_per_second: float,
    ) -> None:
        """Read the keys; ValueError if they are not usable or contradict `allow_anonymous`."""
        self._metrics = metrics
        self._fixed = parse_keys(keys)
        self._file = None if file is None else KeyFile(file)
        self._anyone = allow_anonymous
        self._per_second = requests_per_second
        self._buckets: dict[str, TokenBucket] = {}
        self._looked_at = time.monotonic()
        if self.asks_for_keys and allow_anonymous:
            raise ValueError(
                "there are API keys, and MAGNET_ALLOW_ANONYMOUS lets in callers without one: "
                "take away one of the two"
            )

    @property
    def asks_for_keys(self) -> bool:
        """Whether a caller needs a key; also if there is only a file without keys yet."""
        return bool(self._fixed) or self._file is not None

    def admit(self, scope: Scope, *, secret: str | None, host: str) -> TokenBucket | None:
        """Let a request pass, or raise; what it takes its tokens from, None without keys.

        Args:
            scope: what the route needs.
            secret: the caller's key, if any.
            host: the address of this machine that the caller is connected to.

        Raises:
            Unauthenticated: no key, or an unknown one.
            Forbidden: a key without this scope; or no keys are set up and `host` is not local.
            TooManyRequests: this key has asked too often, or for too much.
        """
        if not self.asks_for_keys:
            if not (self._anyone or is_local(host)):
                self._count_refusal("not_local")
                raise Forbidden(
                    "this service has no API keys and answers only its own machine; "
                    "set MAGNET_KEYS_FILE, or MAGNET_ALLOW_ANONYMOUS=true to let in anybody"
                )
            return None
        if secret is None:
            self._count_refusal("no_key")
            raise Unauthenticated("send a key as `Authorization: Bearer KEY`")
        key = find_key(self._keys(), secret)
        if key is None:
            self._count_refusal("unknown_key")
            raise Unauthenticated("this key is not known, or not any longer")
        if scope not in key.scopes:
            self._count_refusal("scope")
            raise Forbidden(f"the key {key.name!r} has no scope {scope!r}")
        bucket = self._bucket(key.name)
        wait_seconds = bucket.wait_seconds()
        if wait_seconds > 0:
            self._metrics.rate_limited.labels(key.name).inc()
            raise TooManyRequests(
                f"the key {key.name!r} has asked for more than {self._per_second:g} units a second "
                "(a call costs one, long lists and batches more)",
                wait_seconds,
            )
        return bucket

    def _count_refusal(self, reason: str) -> None:
        self._metrics.auth_refusals.labels(reason).inc()

    def _keys(self) -> Sequence[ApiKey]:
        """The keys of the settings and of the file."""
        if self._file is None:
            return self._fixed
        now = time.monotonic()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._file.refresh()
        return (*self._fixed, *self._file.keys)

    def _bucket(self, name: str) -> TokenBucket:
        if name not in self._buckets:
            burst = max(1.0, self._per_second)
            self._buckets[name] = TokenBucket(self._per_second, burst, time.monotonic)
        return self._buckets[name]
