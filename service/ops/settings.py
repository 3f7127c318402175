"""Settings of the service, read from the environment once; docs/configuration.md lists them."""

import importlib.util
import ipaddress
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, DirectoryPath, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.registry.address import RedisAddress
from model.registry.keys import check_name

PREFIX = "MAGNET_"


def _retrieval(way: str) -> str:
    if way == "approximate" and importlib.util.find_spec("faiss") is None:
        raise ValueError("faiss is not installed: pip install 'magnet-recommender[large]'")
    return way


Retrieval = Literal["auto", "exact", "approximate"]

Seconds = Annotated[float, Field(gt=0, le=3600)]


def _redis_url(url: str) -> str:
    RedisAddress.of(url)
    return url


def host_of(place: str) -> str | None:
    """The host of `host:port`, in lower case; None if there is none."""
    try:
        return urlsplit(f"//{place}").hostname or None
    except ValueError:
        return None


@lru_cache  # each request asks, and this machine has few addresses
def is_local(host: str) -> bool:
    """Whether only this machine can connect to an address or a socket's path."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _hosts(text: str) -> str:
    names = text.replace(",", " ").lower().split()
    if not all(host_of(name) == name and "*" not in name.removeprefix("*.") for name in names):
        raise ValueError("expected names of hosts, such as shop.example or *.shop.example")
    return " ".join(names)


def _namespace(name: str) -> str:
    return check_name(name, "namespace")


_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")


def _origins(text: str) -> str:
    for each in filter(None, text.split(",")):
        if not _ORIGIN.fullmatch(each.strip()):
            raise ValueError(f"{each.strip()!r} is no origin such as https://shop.example")
    return text


class ShardPlace(NamedTuple):
    """Which of how many shards of a catalogue, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, num_items: int) -> slice:
        """Its items: rows that follow each other, as many as each other shard has, or one more."""
        start, stop = (num_items * each // self.of for each in (self.number - 1, self.number))
        return slice(start, stop)


def _shard(text: str) -> str:
    found = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text)
    if text and (found is None or int(found[1]) > int(found[2])):
        raise ValueError("expected the number of a shard and how many there are, such as 1/2")
    if text and importlib.util.find_spec("safetensors") is None:
        raise ValueError("safetensors is not installed: pip install 'magnet-recommender[large]'")
    return text


def _shards(text: str) -> str:
    for each in text.split(",") if text else ():
        if urlsplit(each.strip()).scheme not in ("http", "https"):
            raise ValueError("expected addresses such as http://a:8000,http://b:8000")
    return text


class Settings(BaseSettings):
    """How one process serves."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    redis_url: Annotated[
        str, AfterValidator(_redis_url), Field(validation_alias="REDIS_URL", repr=False)
    ] = "redis://localhost:6379/0"
    """Where models are published: one server, one that Sentinel names, or a cluster."""
    namespace: Annotated[str, AfterValidator(_namespace)] = "default"
    """Whose models to follow in that Redis."""
    cache_dir: Path | None = None
    """Where published models are kept: workers share one copy, which also serves a restart without
    Redis."""
    artifact_dir: Path | None = None
    """Serve this artifact folder from disk; Redis is then not used at all."""
    pictures_dir: DirectoryPath | None = None
    """The data folder whose pictures of items are shown."""
    poll_seconds: Seconds = 2.0
    """Pause between looks at the live version; an announcement ends it early."""
    redis_connect_timeout_seconds: Seconds = 1.0
    """Longest wait for a connection."""
    redis_timeout_seconds: Seconds = 1.0
    """Longest wait for one user's row within a request, connecting included.

    A read takes under a millisecond. A second is so long that a busy event loop is not mistaken for
    a silent server.
    """
    redis_load_timeout_seconds: Seconds = 10.0
    """Longest wait for one batch of chunks while a model is loaded."""
    user_cache_size: Annotated[int, Field(ge=0)] = 10_000
    """Users kept in memory per model version, also while Redis is away."""
    kept_answers_bytes: Annotated[int, Field(ge=0)] = 64 * 2**20
    """Memory for lists that are given again for as long as nothing has changed; 0 for none."""
    feedback_capacity: Annotated[int, Field(ge=1)] = 1_000_000
    """Events that may wait for training; more are refused."""
    recent_items: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many of a user's newest events `exclude_seen` knows of."""
    recent_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """How long an event is known: longer than until a model has been trained on it."""
    keys: Annotated[str, Field(repr=False)] = ""
    """API keys, one a line: `NAME SCOPE[,SCOPE] SHA256`."""
    keys_file: Path | None = None
    """A file of such lines, read again when it changes."""
    allow_anonymous: bool = False
    """Let in anybody without a key."""
    allowed_hosts: Annotated[str, AfterValidator(_hosts)] = ""
    """Hosts that requests may name, with commas or spaces; without any: those of this machine while
    there are no keys, otherwise any."""
    key_requests_per_second: Annotated[float, Field(gt=0)] = 1000.0
    """Units of cost per second of one key, per process; as many may come at once."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Web pages of which origins may call the service, separated by commas."""
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """A further port for the metrics, which needs no key."""
    metrics_host: str = "127.0.0.1"
    """The interface of that port."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2 * 2**20
    """Longest body: twice the longest list of ids with 100 bytes each."""
    max_bulk_bytes: Annotated[int, Field(ge=1024)] = 32 * 2**20
    """Longest body of a bulk call: 10,000 items with 200 numbers each."""
    request_timeout_seconds: Seconds = 10.0
    """Longest time for an answer; 503 after it. A bulk call may take six times as long."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long to serve after SIGTERM, while reporting not ready."""
    max_k: Annotated[int, Field(ge=1)] = 1000
    """Most items in one answer."""
    score_threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default_factory=lambda: os.cpu_count() or 1
    )
    """Explanations and lists of similar items computed at the same time."""
    retrieval: Annotated[Retrieval, AfterValidator(_retrieval)] = "auto"
    """How the best items are found: `exact`, `approximate` (faiss), or `auto`: by their number."""
    max_batch: Annotated[int, Field(ge=1, le=1024)] = 32
    """Most requests for recommendations that share one pass over the items."""
    max_waiting: Annotated[int, Field(ge=1)] = 1024
    """Most requests for recommendations that wait to be computed; further ones get 503."""
    shard: Annotated[str, AfterValidator(_shard)] = ""
    """Which part of the catalogue this process searches, such as `1/2`; without one: all of it."""
    shards: Annotated[str, AfterValidator(_shards)] = ""
    """Where all shards answer, in their order, separated by commas."""
    shard_key: Annotated[str, Field(repr=False)] = ""
    """The API key that is shown to other shards; it needs the scope `read`."""
    shard_timeout_seconds: Seconds = 1.0
    """Longest wait for another shard; then its items are left out."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged."""

    @property
    def origins(self) -> list[str]:
        """Those of `cors_origins`."""
        return [each.strip() for each in self.cors_origins.split(",") if each.strip()]

    @property
    def shard_place(self) -> ShardPlace | None:
        """That of `shard`; None if the catalogue has no shards."""
        return ShardPlace(*map(int, self.shard.split("/"))) if self.shard else None

    @property
    def shard_urls(self) -> list[str]:
        """Those of `shards`."""
        return [each.strip() for each in self.shards.split(",")] if self.shards else []

    @model_validator(mode="after")
    def _shards_agree(self) -> Self:
        place = self.shard_place
        if (0 if place is None else place.of) != len(self.shard_urls):
            raise ValueError("MAGNET_SHARD=1/2 needs MAGNET_SHARDS with two addresses, and so on")
        if place is not None and self.cache_dir is None and self.artifact_dir is None:
            raise ValueError(
                "MAGNET_SHARD needs MAGNET_CACHE_DIR, from where items of other shards are mapped"
            )
        return self

    @property
    def redis_address(self) -> RedisAddress:
        """Where Redis is; as text it holds no password."""
        return RedisAddress.of(self.redis_url)

    @classmethod
    def from_environment(cls, **instead: Any) -> Self:
        """Read the environment; SystemExit, whose line names every variable that is not usable.

        Args:
            instead: fields that are given, whatever the environment says.
        """
        try:
            return cls(**instead)
        except ValidationError as error:
            faults = "; ".join(
                f"{variable_name(str(fault['loc'][0])) if fault['loc'] else 'MAGNET_SHARD'}: "
                + fault["msg"].removeprefix("Value error, ")
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise SystemExit(f"magnet: bad setting: {faults} (see docs/configuration.md)") from None


def variable_name(field: str) -> str:
    """The environment variable of a field of `Settings` (or of its alias)."""
    info = Settings.model_fields.get(field)
    if info is None or info.validation_alias is not None:
        return "REDIS_URL"
    return PREFIX + field.upper()
