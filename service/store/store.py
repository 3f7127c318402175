"""Published models in Redis, read only: the pointer, manifests, chunks and single rows.

Knows bytes and keys, not users or scores, nor what kind of Redis it is.
"""

# FOLDED service/store/store.py: Questions to a server that share round trips: those that wait when one begins are in it.
#
#   A question is only ever answered by a round trip that began after it was asked. Nobody waits for
#   company. Knows queues; knows nothing about what is asked.
#

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from redis.asyncio.client import PubSub

from model.artifact.files import ArtifactError, parse_manifest
from model.artifact.layout import RowLayout
from model.artifact.manifest import ArtifactManifest
from model.registry.canary import Canary
from model.registry.keys import KeySpace
from service.ops.settings import Settings
from service.schemas.errors import SourceUnavailable
from service.store.connection import FAULTS, Exchange, answering, close, connect

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Question, Answer]):
    question: Question
    answer: asyncio.Future[Answer]
    since: float
    """By the clock of the event loop."""


class RoundTrips(Generic[Question, Answer]):
    """One round trip at a time, for whoever waits when it begins.

    Args:
        ask: makes a round trip for some questions, by the time since when the first of them waits;
            an answer, or why there is none, per question.
        most: questions in one round trip.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Question], float], Awaitable[Sequence[Answer | SourceUnavailable]]],
        most: int,
    ) -> None:
        self._ask = ask
        self._most = most
        self._waiting: deque[_Waiting[Question, Answer]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer to one question; SourceUnavailable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Waiting(question, answer, loop.time()))
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            count = min(self._most, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            batch = [each for each in batch if not each.answer.done()]
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[_Waiting[Question, Answer]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = await self._ask([each.question for each in batch], batch[0].since)
        except Exception as error:  # noqa: BLE001  # it is the callers', who are waiting for it
            answers = [error] * len(batch)
        for each, answer in zip(batch, answers, strict=True):
            if each.answer.done():
                continue
            if isinstance(answer, Exception):
                each.answer.set_exception(answer)
            else:
                each.answer.set_result(answer)


BATCH_CHUNKS = 16
"""Chunks asked for at once while loading: 4 MiB in flight, small beside any model."""
MAX_SHARED = 64
"""Requests that read in one round trip; further ones wait for the next."""


_HIDDEN = "return {redis.call('GET', KEYS[1]), redis.call('SMEMBERS', KEYS[2])}"
"""A script, as atomic as a transaction: redis-py queues a cluster's transaction in a thread with an
event loop of its own, which breaks the client when slots have just moved."""


PAUSE_SECONDS = 0.25
"""As long as the follower first waits before it asks a silent server again."""


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
    recent_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveValues:
    """What changes between two model versions, as a request reads it beside the user's row."""

    availability_revision: int
    recent_ids: Sequence[str]
    """Items that the user has just seen, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a namespace says is to be served."""

    live: str | None
    """None if nothing has been published."""
    canary: Canary | None = None
    """The latest, running or ended."""


class RedisStore:
    """One namespace of one server. Every call ends within the timeouts of the settings.

    Every method raises SourceUnavailable when the server does not answer. Whoever writes to the
    namespace does so by `client`, inside `answering`.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = settings.redis_address
        self.keys = KeySpace(settings.namespace)
        self._timeout_seconds = settings.redis_timeout_seconds
        self.client, self._bulk = (
            connect(
                self.address,
                timeout_seconds=seconds,
                connect_timeout_seconds=settings.redis_connect_timeout_seconds,
            )
            for seconds in (settings.redis_timeout_seconds, settings.redis_load_timeout_seconds)
        )
        self._exchange = Exchange(self.client)
        self._reads = RoundTrips(self._read_all, MAX_SHARED)
        self._silent_until = 0.0
        self._events: PubSub | None = None

    async def wanted(self) -> Wanted:
        """The live version and the canary, as they are at one moment."""
        with self.answering():
            found: Any = await self._bulk.mget(self.keys.current, self.keys.canary)
        live, canary = found
        return Wanted(
            live=None if live is None else live.decode(errors="replace"),
            canary=Canary.parse(canary),
        )

    async def manifest(self, version: str) -> ArtifactManifest:
        """The manifest of one version; ArtifactError if there is none or it is not usable."""
        try:
            key = self.keys.manifest(version)
        except ValueError as error:
            raise ArtifactError(str(error)) from error
        with self.answering():
            text = await self._bulk.get(key)
        if text is None:
            raise ArtifactError("its manifest is not in Redis; publish it again")
        manifest = parse_manifest(text, "its manifest")
        if manifest.model_version != version:
            raise ArtifactError(f"its manifest is that of version {manifest.model_version}")
        return manifest

    async def tensor(self, manifest: ArtifactManifest, name: str) -> NDArray[Any]:
        """A whole array, read-only, not yet checked against its checksum."""
        spec = manifest.tensors[name]
        layout = RowLayout.of(spec.shape, spec.dtype, manifest.chunk_bytes)
        data = await self._blob(manifest.model_version, name, layout)
        array = data.view(spec.dtype).reshape(spec.shape)
        array.flags.writeable = False
        return array

    async def file(self, manifest: ArtifactManifest, name: str) -> bytes:
        """A whole file, not yet checked against its checksum."""
        layout = RowLayout.of((manifest.files[name].num_bytes,), "|u1", manifest.chunk_bytes)
        return (await self._blob(manifest.model_version, name, layout)).tobytes()

    async def check_present(self, manifest: ArtifactManifest, name: str) -> None:
        """Raise ArtifactError unless every chunk of an array is there at its full length."""
        spec = manifest.tensors[name]
        spans = enumerate(RowLayout.of(spec.shape, spec.dtype, manifest.chunk_bytes).spans())
        while batch := list(islice(spans, BATCH_CHUNKS * 64)):
            pipe = self._bulk.pipeline(transaction=False)
            for index, _ in batch:
                pipe.strlen(self.keys.chunk(manifest.model_version, name, index))
            with self.answering():
                lengths = await pipe.execute()
            for (index, (start, stop)), length in zip(batch, lengths, strict=True):
                _check_length(name, index, length, stop - start)

    async def read(
        self, version: str, spans: Sequence[RowSpan], recent_of: str | None
    ) -> tuple[list[bytes], LiveValues]:
        """The bytes of some spans of rows, and what a user has just seen.

        One round trip, begun after this was called and shared by whoever else reads then.
        """
        return await self._reads.ask(_Read(version, spans, recent_of))

    async def _read_all(
        self, reads: Sequence[_Read], since: float
    ) -> list[tuple[list[bytes], LiveValues] | SourceUnavailable]:
        commands: list[tuple[str | int, ...]] = [("GET", self.keys.availability_revision)]
        for read in reads:
            commands += self._commands(read)
        async with self._promptly(since):
            parts = iter(await self._exchange(commands))
            revision = int(next(parts) or 0)
            return [self._answer(read, revision, parts) for read in reads]

    def _commands(self, read: _Read) -> Iterator[tuple[str | int, ...]]:
        if read.recent_of is not None:
            yield "ZRANGE", self.keys.recent(read.recent_of), 0, -1, "REV"
        for span in read.spans:
            for chunk, first, last in span.pieces():
                yield "GETRANGE", self.keys.chunk(read.version, span.blob, chunk), first, last

    def _answer(
        self, read: _Read, revision: int, parts: Iterator[Any]
    ) -> tuple[list[bytes], LiveValues] | SourceUnavailable:
        recent = [] if read.recent_of is None else [item.decode() for item in next(parts)]
        rows = [b"".join(islice(parts, sum(1 for _ in span.pieces()))) for span in read.spans]
        if any(len(data) != span.num_bytes for data, span in zip(rows, read.spans, strict=True)):
            return SourceUnavailable(f"version {read.version} is no longer whole in {self.address}")
        return rows, LiveValues(availability_revision=revision, recent_ids=recent)

    async def hidden_items(self) -> tuple[int, frozenset[str]]:
        """The ids of all items that no answer may show, and the revision of that set."""
        keys = (self.keys.availability_revision, self.keys.unavailable)
        async with self._promptly(asyncio.get_running_loop().time()):
            revision, ids = await self.client.eval(_HIDDEN, len(keys), *keys)
            return int(revision or 0), frozenset(item.decode() for item in ids)

    async def wait_for_event(self, seconds: float) -> None:
        """Return after `seconds`, or at once when a new version is announced."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        try:
            if self._events is None:
                events = self._bulk.pubsub(ignore_subscribe_messages=True)
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
        await close(self._bulk)

    async def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            await events.aclose()  # type: ignore[no-untyped-call]  # untyped in redis-py

    async def _blob(self, version: str, name: str, layout: RowLayout) -> NDArray[np.uint8]:
        """All bytes of an array or a file.

        They are put together in a thread: the first touch of a page costs more than what is copied
        there, and the event loop has requests to answer.
        """
        data = np.empty(layout.num_rows * layout.row_bytes, dtype=np.uint8)
        spans = enumerate(layout.spans())
        while batch := list(islice(spans, BATCH_CHUNKS)):
            pipe = self._bulk.pipeline(transaction=False)
            for index, _ in batch:
                pipe.get(self.keys.chunk(version, name, index))
            with self.answering():
                chunks = await pipe.execute()
            for (index, (start, stop)), chunk in zip(batch, chunks, strict=True):
                _check_length(name, index, len(chunk or b""), stop - start)
            places = [slice(*span) for _, span in batch]
            await to_thread.run_sync(_fill, data, places, chunks)
        return data

    def answering(self) -> AbstractContextManager[None]:
        """Turn whatever the client raises inside into SourceUnavailable, which names the server."""
        return answering(self.address)

    @asynccontextmanager
    async def _promptly(self, since: float) -> AsyncIterator[None]:
        """Within a request: one timeout at most, and a reply that is not what was asked for fails.

        The time runs since when the request began to wait, by the clock of the event loop.

        After a failure all fail at once for `PAUSE_SECONDS`: while the server hangs, one request
        in each pause waits for it, not all of them.
        """
        clock = asyncio.get_running_loop().time
        if clock() < self._silent_until:
            raise SourceUnavailable(f"Redis at {self.address} did not answer a moment ago")
        try:
            with self.answering():
                async with asyncio.timeout_at(since + self._timeout_seconds):
                    yield
        except SourceUnavailable:
            self._silent_until = clock() + PAUSE_SECONDS
            raise


def _check_length(name: str, index: int, length: int, expected: int) -> None:
    if length != expected:
        state = f"has {length} bytes instead of {expected}" if length else "is missing"
        raise ArtifactError(f"chunk {index} of {name!r} {state}; publish it again")


def _fill(data: NDArray[np.uint8], places: Sequence[slice], chunks: Sequence[bytes]) -> None:
    for place, chunk in zip(places, chunks, strict=True):
        data[place] = np.frombuffer(chunk, dtype=np.uint8)
