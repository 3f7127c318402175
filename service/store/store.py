"""Published models in Redis, read only: what is live, manifests, arrays, and single rows."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from redis.asyncio.client import PubSub
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoPermissionError, ResponseError

from model.artifact.files import ArtifactError, check_file, check_tensor
from model.artifact.manifest import ArtifactManifest
from model.artifact.stored import (
    PER_USER,
    Chunk,
    RowLayout,
    batches,
    chunks,
    layout_of,
    read_manifest,
)
from model.registry.canary import Canary
from model.registry.eviction import eviction_warning
from model.registry.keys import KeySpace
from service.ops.attempt import Attempt
from service.ops.batching import Batcher
from service.ops.settings import Settings
from service.schemas.errors import SourceUnavailable
from service.store.connection import (
    FAULTS,
    Exchange,
    answering,
    close,
    connect,
    usable,
    writing,
)
from service.store.foreign import REMEDY, checked, number_of, or_else
from service.store.live_events import LIVE, LiveEvent, LiveSets, now_ms, of_reply

MAX_SHARED = 64
"""Requests that read in one round trip; further ones wait for the next."""
MAX_LENGTHS = 1000
"""Chunks whose lengths are asked for at once."""
PAUSE_SECONDS = 0.25
"""For so long requests fail at once after the server was silent: the follower's first wait."""

_CHANGES = (
    checked("counter", "stream")
    + """
return {redis.call('GET', KEYS[1]), redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])}
"""
)
"""A script instead of a transaction: for a cluster, redis-py queues a transaction in a thread with
its own event loop, which breaks the client when slots have just moved."""


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Rows [start, stop) of one stored array."""

    blob: str
    layout: RowLayout
    start: int
    stop: int

    @property
    def num_bytes(self) -> int:
        """Length of the span."""
        return (self.stop - self.start) * self.layout.row_bytes

    def pieces(self) -> Iterator[tuple[int, int, int]]:
        """Chunk, first byte and last byte (inclusive) of each part, in order."""
        row = self.start
        while row < self.stop:
            chunk, first, _ = self.layout.locate(row)
            end = min(self.stop, (chunk + 1) * self.layout.rows_per_chunk)
            yield chunk, first, self.layout.locate(end - 1)[2]
            row = end


@dataclass(frozen=True, slots=True)
class _Read:
    """What one request reads."""

    version: str
    spans: Sequence[RowSpan]
    user_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """What everybody shares and may have changed."""

    availability: int | None
    erasures: int | None
    """None: what stands there is no revision."""
    rules: bytes | None
    """The default rules, JSON; None if there are none."""

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Self:
        """From what Redis holds at `RedisStore.shared_keys`."""
        availability, erasures, rules = values
        return cls(availability=number_of(availability), erasures=number_of(erasures), rules=rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveValues:
    """Values that change while a version is served, read together with a user's row."""

    revisions: Revisions
    events: Sequence[LiveEvent]
    """What the user has done lately, newest first."""
    trouble: SourceUnavailable | None = None
    """Why it is not known what the user has done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The versions that a namespace wants to be served."""

    live: str | None
    """None if nothing has been published."""
    canary: Canary | None = None
    """The latest, running or ended."""
    rewrites: int = 0
    """How often stored versions have been rewritten without users who were erased."""


class RedisStore:
    """One namespace of one server.

    Every method ends within the timeouts of the settings, and raises SourceUnavailable if the
    server does not answer. Writers use `client`, inside `writing`, or `bulk_client`, which waits as
    long as for loading.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = settings.redis_address
        self.keys = KeySpace(settings.namespace)
        self.live = LiveSets(
            keys=self.keys,
            most=settings.recent_items,
            lasting_ms=round(settings.recent_days * 24 * 3600 * 1000),
        )
        self.shared_keys = (
            self.keys.availability_revision,
            self.keys.erasures_revision,
            self.keys.rules,
        )
        self._timeout_seconds = settings.redis_timeout_seconds
        self.client, self.bulk_client = (
            connect(
                self.address,
                timeout_seconds=seconds,
                connect_timeout_seconds=settings.redis_connect_timeout_seconds,
            )
            for seconds in (settings.redis_timeout_seconds, settings.redis_load_timeout_seconds)
        )
        self._exchange = Exchange(self.client)
        self._reads = Batcher(self._read_all, max_batch=MAX_SHARED)
        self._silent_until = 0.0
        self._events: PubSub | None = None
        self.warnings: Sequence[str] = ()
        """What is wrong with the server, or its keys, though it answers."""

    async def wanted(self) -> Wanted:
        """The live version and the canary, read together."""
        with self.answering():
            found: Any = await self.bulk_client.mget(
                self.keys.current, self.keys.canary, self.keys.rewrites
            )
            live, canary, rewrites = found
            return Wanted(
                live=None if live is None else live.decode(errors="replace"),
                canary=Canary.parse(canary),
                rewrites=number_of(rewrites) or 0,
            )

    async def manifest(self, version: str) -> ArtifactManifest:
        """The manifest of one version; ArtifactError if there is none or it is not usable."""
        try:
            key = self.keys.manifest(version)
        except ValueError as error:
            raise ArtifactError(str(error)) from error
        with self.answering():
            text = await or_else(self.bulk_client.get(key), key, None)
        return read_manifest(text, version)

    async def tensor(self, manifest: ArtifactManifest, name: str) -> NDArray[Any]:
        """A whole array, read-only, its checksum not yet verified."""
        spec = manifest.tensors[name]
        array = (await self._blob(manifest, name)).view(spec.dtype).reshape(spec.shape)
        array.flags.writeable = False
        return array

    async def file(self, manifest: ArtifactManifest, name: str) -> bytes:
        """A whole file, its checksum not yet verified."""
        return (await self._blob(manifest, name)).tobytes()

    async def check_present(
        self, manifest: ArtifactManifest, blobs: Collection[str] | None = None
    ) -> None:
        """ArtifactError unless every chunk of some blobs (default: all) has its full length."""
        found = chunks(self.keys, manifest, blobs)
        while batch := list(islice(found, MAX_LENGTHS)):
            lengths = await self._of_each("STRLEN", batch)
            for chunk, length in zip(batch, lengths, strict=True):
                chunk.check_length(length or 0)

    async def check_sums(self, manifest: ArtifactManifest, most_bytes: int) -> None:
        """ArtifactError if what replicas load is not what was published, unless it is larger."""
        names = [name for name in manifest.tensors if name not in PER_USER]
        layouts = [layout_of(manifest, name) for name in (*names, *manifest.files)]
        if sum(each.num_rows * each.row_bytes for each in layouts) > most_bytes:
            return
        for name in names:
            array = await self.tensor(manifest, name)
            await to_thread.run_sync(check_tensor, name, array, manifest)
        for name in manifest.files:
            check_file(name, await self.file(manifest, name), manifest)

    async def read(
        self, version: str, spans: Sequence[RowSpan], user_id: str | None
    ) -> tuple[list[bytes], LiveValues]:
        """The bytes of some spans of rows, and what a user has done lately.

        It takes one round trip, which begins after the call and is shared with other requests.
        """
        return await self._reads.run(_Read(version, spans, user_id))

    async def _read_all(
        self, reads: Sequence[_Read], since: float
    ) -> Sequence[tuple[list[bytes], LiveValues] | Exception]:
        commands: list[tuple[str | int, ...]] = [("MGET", *self.shared_keys)]
        for read in reads:
            commands += self._commands(read)
        async with self._promptly(since):
            parts = iter(await self._exchange(commands))
            values = next(parts)
            return [self._answer(read, values, parts) for read in reads]

    def _commands(self, read: _Read) -> Iterator[tuple[str | int, ...]]:
        if read.user_id is not None:
            yield self.live.reading(read.user_id, now_ms())
        for span in read.spans:
            for chunk, first, last in span.pieces():
                yield "GETRANGE", self.keys.chunk(read.version, span.blob, chunk), first, last

    def _answer(
        self, read: _Read, values: Sequence[bytes | None], parts: Iterator[Any]
    ) -> tuple[list[bytes], LiveValues] | SourceUnavailable:
        events: Sequence[LiveEvent] = ()
        trouble = None
        if read.user_id is not None:
            reply = next(parts)
            if isinstance(reply, Exception):
                trouble = SourceUnavailable(f"{LIVE} is of the wrong type; {REMEDY}")
            else:
                events = of_reply(reply)
        pieces = [list(islice(parts, sum(1 for _ in span.pieces()))) for span in read.spans]
        rows = [b"".join(x for x in some if isinstance(x, bytes)) for some in pieces]
        if any(len(data) != span.num_bytes for data, span in zip(rows, read.spans, strict=True)):
            return SourceUnavailable(f"version {read.version} is no longer whole in {self.address}")
        revisions = Revisions.of(values)
        return rows, LiveValues(revisions=revisions, events=events, trouble=trouble)

    async def revisions(self) -> Revisions:
        """What everybody shares."""
        with self.answering():
            found: Any = await self.bulk_client.mget(*self.shared_keys)
            return Revisions.of(found)

    async def log_from(
        self, names: tuple[str, str], revision: int, count: int
    ) -> tuple[int, list[tuple[int, bytes, bytes]]]:
        """The present revision, and what its log has from another one on.

        At most `count` changes, that of the revision included, if the log has it: each with its
        revision, what was done, and with what.
        """
        async with self._promptly(asyncio.get_running_loop().time()):
            latest, entries = await self.client.eval(_CHANGES, len(names), *names, revision, count)
            changes = [
                (int(place.partition(b"-")[0]), what, of) for place, (what, of, *_) in entries
            ]
            return int(latest or 0), changes

    async def hidden_page(self, cursor: int, count: int) -> tuple[int | None, list[bytes]]:
        """Some ids of hidden items, about `count`, and where the next begin; None: nowhere."""
        client: Any = self.bulk_client
        with self.answering(self.keys.unavailable):
            then, ids = await client.sscan(self.keys.unavailable, cursor=cursor, count=count)
            return int(then) or None, ids

    async def erasures_page(self, cursor: int, count: int) -> tuple[int | None, list[bytes]]:
        """Some records of erasures, about `count`, and where the next begin; None: nowhere."""
        client: Any = self.bulk_client
        with self.answering(self.keys.erasures):
            then, records = await client.hscan(self.keys.erasures, cursor=cursor, count=count)
            return int(then) or None, [*records.values()]

    async def look_at_server(self) -> None:
        """Note in `warnings` whether it may throw away what it was given, and odd keys."""
        command: Any = self.client.execute_command
        primaries = {"target_nodes": "primaries"} if isinstance(self.client, RedisCluster) else {}
        try:
            with self.answering():
                policy = eviction_warning(await command("INFO", "memory", **primaries))
        except SourceUnavailable as error:
            if not isinstance(error.__cause__, NoPermissionError):
                raise
            policy = None
        odd = await self.odd_keys()
        self.warnings = odd if policy is None else [policy, *odd]

    async def odd_keys(self, only: Collection[str] | None = None) -> list[str]:
        """What keys hold that they should not, in a sentence each; of all keys by default."""
        types = {k: kind for k, kind in self.keys.types.items() if only is None or k in only}
        pipe: Any = self.client.pipeline(transaction=False)
        for key in types:
            pipe.execute_command("TYPE", key)
            pipe.execute_command("MGET", key)  # which is nil where GET is an error
        with self.answering():
            replies = await pipe.execute()
        odd = []
        for (key, kind), held, (value,) in zip(
            types.items(), replies[::2], replies[1::2], strict=True
        ):
            name = held.decode()
            if name not in ("none", "string" if kind == "counter" else kind):
                odd.append(f"{key} is a {name}, not a {kind}; {REMEDY}")
            elif kind == "counter" and number_of(value) is None:
                odd.append(f"{key} is no whole number; {REMEDY}")
        return odd

    async def wait_for_event(self, seconds: float) -> None:
        """Return after `seconds`, or at once when a new version is announced."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        try:
            if self._events is None:
                events = self.bulk_client.pubsub(ignore_subscribe_messages=True)
                await events.subscribe(self.keys.events)
                self._events = events
            while (left := deadline - clock()) > 0:
                if await self._events.get_message(timeout=left) is not None:
                    return
        except FAULTS:
            await self._close_events()
            await asyncio.sleep(max(0.0, deadline - clock()))

    async def close(self) -> None:
        """Close every connection."""
        await self._close_events()
        await self._exchange.close()
        await close(self.client)
        await close(self.bulk_client)

    async def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()  # type: ignore[no-untyped-call]  # untyped in redis-py

    async def _blob(self, manifest: ArtifactManifest, name: str) -> NDArray[np.uint8]:
        """All bytes of an array or a file.

        They are joined in a thread: new pages take longer than the copying, and the event loop has
        requests to answer.
        """
        layout = layout_of(manifest, name)
        data = np.empty(layout.num_rows * layout.row_bytes, dtype=np.uint8)
        for batch in batches(chunks(self.keys, manifest, [name])):
            parts = await self._of_each("GET", batch)
            for chunk, part in zip(batch, parts, strict=True):
                chunk.check_length(len(part or b""))
            await to_thread.run_sync(_fill, data, batch, parts)
        return data

    async def _of_each(self, command: str, batch: Sequence[Chunk]) -> list[Any]:
        """What a command replies for the key of each chunk, None if it holds something else."""
        pipe: Any = self.bulk_client.pipeline(transaction=False)
        for chunk in batch:
            pipe.execute_command(command, chunk.key)
        with self.answering():
            replies = usable(await pipe.execute(raise_on_error=False))
        return [None if isinstance(reply, Exception) else reply for reply in replies]

    def answering(self, key: str | None = None) -> AbstractContextManager[None]:
        """Turn what the client raises into SourceUnavailable, which names the server.

        And the key, if it is given and of the wrong type.
        """
        return answering(self.address, key)

    def writing(self, *, as_one: bool = True) -> AbstractContextManager[Attempt]:
        """The same around what changes something; see `service.store.connection.writing`."""
        return writing(self.address, as_one=as_one)

    @asynccontextmanager
    async def _promptly(self, since: float) -> AsyncIterator[None]:
        """Bound the time that a request waits for Redis, and fail on replies that do not fit.

        The time runs from `since`, by the clock of the event loop. After a failure all requests
        fail at once for `PAUSE_SECONDS`: while the server hangs, one request per pause waits.
        """
        clock = asyncio.get_running_loop().time
        if clock() < self._silent_until:
            raise SourceUnavailable(f"Redis at {self.address} did not answer a moment ago")
        try:
            with self.answering():
                async with asyncio.timeout_at(since + self._timeout_seconds):
                    yield
        except SourceUnavailable as error:
            if not isinstance(error.__cause__, ResponseError):  # that is an answer, and in time
                self._silent_until = clock() + PAUSE_SECONDS
            raise


def _fill(data: NDArray[np.uint8], batch: Sequence[Chunk], parts: Sequence[bytes]) -> None:
    for chunk, part in zip(batch, parts, strict=True):
        data[chunk.start : chunk.stop] = np.frombuffer(part, dtype=np.uint8)
