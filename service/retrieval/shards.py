"""A catalogue in shards: each process finds the best of its own rows, and asks others for theirs.

A shard is a run of rows. Whoever gets a request knows all items by their ids, and makes the query;
queries go to every shard at once, and the best of all answers are the answer. A shard that does not
answer is left out, and the answer says so.

Letters: I items of the shard, V views, M modalities, D dimension.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial, reduce
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from anyio import to_thread

from model.runtime.profile import Profile
from model.runtime.scorer import OnnxScorer
from service.ops.metrics import Metrics
from service.ops.settings import ShardPlace
from service.retrieval.query import Floats, Query, Ranked, Retriever, Tensors
from service.retrieval.select import Chosen
from service.retrieval.shard_messages import (
    BadMessage,
    found_received,
    found_sent,
    part_of,
    profile_for,
    queries_received,
    queries_sent,
)
from service.schemas.errors import InvalidRequest, UnknownVersion
from service.schemas.warned import Warned

AWAY_SECONDS = 1.0
"""For so long a shard that has not answered is not asked again: others are not kept waiting."""
KEPT_PARTS = 3
"""Model versions whose rows can be asked for: the live one, a canary, and the one before, which
others may serve a little longer."""
WAITED_SECONDS = 30.0
"""For all shards to have a version, before one answers with it without them."""
_LOOK_SECONDS = 0.25
_OWN_TENSORS = ("item_embeddings", "item_routing", "item_bias", "item_popularity")

_FAULTS = (OSError, HTTPException)
_logger = logging.getLogger(__name__)


class _Away(Exception):
    """A shard has not answered, or not as it should; the text says how."""


@dataclass(frozen=True, slots=True)
class OwnRows:
    """This process's rows of a model version, which count from 0."""

    place: ShardPlace
    rows: slice
    """Of the catalogue."""
    scorer: OnnxScorer
    tensors: Tensors

    def profile(self, profile: Profile) -> Profile:
        """What scores these rows."""
        return profile_for(profile, self.rows)

    def folder(self, of_version: Path | None) -> Path | None:
        """Where their index is kept, in the folder of the version."""
        if of_version is None:
            return None
        folder = of_version / f"shard-{self.place.number}-of-{self.place.of}"
        folder.mkdir(exist_ok=True)
        return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """This process's rows of one model version."""

    rows: slice
    retriever: Retriever
    """Of these rows, which count from 0."""
    shape_VMD: tuple[int, ...]
    popularity_bias_I: Floats
    """Of these rows."""

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best of its items, by their rows in the catalogue."""
        found = self.retriever.best([part_of(query, self.rows) for query in queries])
        return [replace(each, rows=each.rows + self.rows.start) for each in found]

    def answer(self, message: bytes) -> bytes:
        """The answer to another process's queries; InvalidRequest."""
        try:
            queries = queries_received(message, self.rows, self.shape_VMD, self.popularity_bias_I)
        except BadMessage as error:
            raise InvalidRequest.of("body", str(error)) from error
        return found_sent(self.retriever.best(queries), self.rows.start)


class _Peer:
    """Another shard, and the connections to it that are kept."""

    def __init__(
        self, url: str, place: ShardPlace, key: str, seconds: float, metrics: Metrics
    ) -> None:
        self.place = place
        self._url = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._seconds = seconds
        self._failures = metrics.shard_failures.labels(str(place))
        self._away_until = 0.0
        self._idle: list[_Line] = []

    def has(self, version: str) -> bool:
        """Whether it answers for a model version."""
        with suppress(_Away):
            self._ask("GET", f"/v1/shard/{version}")()
            return True
        return False

    def best(
        self, version: str, queries: Sequence[Query], num_items: int
    ) -> Callable[[], list[Ranked]]:
        """Ask for the best of its items; what is returned waits for the answer.

        That is nothing but a warning if the shard is away.
        """
        path, rows = f"/v1/shard/{version}/queries:bulk", self.place.rows(num_items)
        calls = _calls(queries)
        try:
            if time.monotonic() < self._away_until:
                raise _Away("it has not answered a moment ago")
            first = self._ask("POST", path, queries_sent(calls[0], rows))
        except _Away as error:
            return partial(self._without, queries, error)

        def found() -> list[Ranked]:
            try:
                answers = [first()]
                for some in calls[1:]:
                    answers.append(self._ask("POST", path, queries_sent(some, rows))())
                return [
                    ranked
                    for some, answer in zip(calls, answers, strict=True)
                    for ranked in _found(some, answer)
                ]
            except _Away as error:
                return self._without(queries, error)

        return found

    def _without(self, queries: Sequence[Query], error: _Away) -> list[Ranked]:
        self._failures.inc()
        _logger.info("shard %s at %s: %s", self.place, self._url.netloc, error)
        what = f"shard {self.place} of the catalogue does not answer: its items are left out"
        away = Warned("shard_away", what)
        return [replace(Ranked.nothing(), warnings=(away,))] * len(queries)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Callable[[], bytes]:
        """Send a request; what is returned waits for the answer. Both raise _Away."""
        line = self._line()
        try:
            line.send(method, self._url.path.rstrip("/") + path, body, self._headers)
        except _FAULTS as error:
            raise self._gone(line, error) from error

        def answer() -> bytes:
            try:
                status, data = line.receive()
            except _FAULTS as error:
                raise self._gone(line, error) from error
            self._idle.append(line)
            if status >= HTTPStatus.MULTIPLE_CHOICES:
                raise _Away(f"{status} {data[:500].decode(errors='replace')}")
            return data

        return answer

    def _line(self) -> "_Line":
        with suppress(IndexError):
            return self._idle.pop()
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        return _Line(kind(self._url.netloc, timeout=self._seconds))

    def _gone(self, line: "_Line", error: Exception) -> _Away:
        line.close()
        self._away_until = time.monotonic() + AWAY_SECONDS
        return _Away(str(error) or repr(error))

    def close(self) -> None:
        """Keep no connection."""
        while self._idle:
            self._idle.pop().close()


class _Line:
    """A connection that is kept, for one question at a time.

    The other side may close it as a question is sent: then that is sent again over a new one.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self._connection = connection
        self._resend: Callable[[], None] | None = None

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send a question."""
        send = partial(self._connection.request, method, path, body, headers)
        self._resend = None if self._connection.sock is None else send
        try:
            send()
        except _FAULTS as error:
            self._send_again(error)

    def receive(self) -> tuple[int, bytes]:
        """Status and body of the answer."""
        try:
            response = self._connection.getresponse()
        except TimeoutError:
            raise
        except _FAULTS as error:
            self._send_again(error)
            response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        """Begin anew with the next question."""
        self._connection.close()

    def _send_again(self, error: Exception) -> None:
        """Over a new connection, unless it was one."""
        self.close()
        send, self._resend = self._resend, None
        if send is None:
            raise error
        send()


def _found(queries: Sequence[Query], answer: bytes) -> list[Ranked]:
    try:
        found = found_received(answer)
    except BadMessage as error:
        raise _Away(str(error)) from error
    if len(found) != len(queries):
        raise _Away(f"{len(found)} answers to {len(queries)} queries")
    return found


def _calls(queries: Sequence[Query]) -> Sequence[Sequence[Query]]:
    """Queries that are sent together: if some bring a number for every item, each goes alone."""
    if all(query.points_I is None or query.popularity for query in queries):
        return [queries]
    return [[query] for query in queries]


class ShardedRetriever:
    """Finds the best items of all shards; safe to share by threads."""

    def __init__(self, shards: "Shards", version: str, part: Part, num_items: int) -> None:
        self._shards = shards
        self._version = version
        self._part = part
        self._num_items = num_items

    @property
    def name(self) -> Literal["exact", "approximate"]:
        """That of this process's rows."""
        return self._part.retriever.name

    def best(self, queries: Sequence[Query]) -> list[Ranked]:
        """The best items of every query; of equal scores, the lower row first."""
        if not queries:
            return []
        waiting = [
            peer.best(self._version, queries, self._num_items) for peer in self._shards.others
        ]
        found = [self._part.best(queries), *(answer() for answer in waiting)]
        return [
            reduce(lambda best, more: best.joined_with(more, query.count), of_query)
            for query, of_query in zip(queries, zip(*found, strict=True), strict=True)
        ]


class Shards:
    """The shards of a catalogue as one of them sees them; for any thread.

    Args:
        place: of this process.
        urls: of all shards, in their order; this process's own is not asked.
        key: the API key that others ask for; empty for none.
        seconds: for an answer.
        metrics: where missing answers are counted.
    """

    def __init__(
        self, place: ShardPlace, urls: Sequence[str], key: str, seconds: float, metrics: Metrics
    ) -> None:
        self.place = place
        self.others = [
            _Peer(url, ShardPlace(number, len(urls)), key, seconds, metrics)
            for number, url in enumerate(urls, 1)
            if number != place.number
        ]
        self._parts: dict[str, Part] = {}

    def own(self, scorer: OnnxScorer, tensors: Tensors) -> OwnRows:
        """This process's rows of a model version."""
        rows = self.place.rows(len(tensors["item_bias"]))
        own = {name: tensors[name][rows] for name in _OWN_TENSORS}
        return OwnRows(self.place, rows, scorer.of_items(own), own)

    def joined(
        self, version: str, own: OwnRows, chosen: Chosen, popularity_bias_I: Floats
    ) -> Chosen:
        """From now on answer for a version; what finds the best items of all shards.

        Args:
            version: which one.
            own: its rows here.
            chosen: what finds the best of these.
            popularity_bias_I: of all items.
        """
        part = Part(
            rows=own.rows,
            retriever=chosen.retriever,
            shape_VMD=own.tensors["item_embeddings"].shape[1:],
            popularity_bias_I=popularity_bias_I[own.rows],
        )
        self._parts.pop(version, None)
        self._parts[version] = part
        for old in list(self._parts)[:-KEPT_PARTS]:
            del self._parts[old]
        retriever = ShardedRetriever(self, version, part, len(popularity_bias_I))
        return replace(chosen, retriever=retriever)

    def part(self, version: str) -> Part:
        """This process's rows of a version; UnknownVersion."""
        found = self._parts.get(version)
        if found is None:
            raise UnknownVersion(f"shard {self.place} does not have model version {version}")
        return found

    async def wait_for_others(self, version: str) -> None:
        """Return once every shard has a version, or after `WAITED_SECONDS`."""
        until = time.monotonic() + WAITED_SECONDS
        for peer in self.others:
            while not await to_thread.run_sync(peer.has, version):
                if time.monotonic() > until:
                    _logger.warning("shard %s does not have version %s yet", peer.place, version)
                    return
                await asyncio.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Ask no more."""
        for peer in self.others:
            peer.close()
