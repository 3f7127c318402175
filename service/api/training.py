"""The route that shows a training while it runs: server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import WouldBlock
from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from model.registry.progress import TrainingEvent
from service.api.dependencies import (
    GUARDED,
    REFUSED,
    SHARED,
    Services,
    ServicesDep,
    SharedDep,
    check_query,
    needs,
)
from service.schemas.errors import Overloaded, SourceUnavailable
from service.schemas.model_responses import ServedModel, TrainingStatus
from service.serving.snapshot import Snapshot
from service.store.training import BEGINNING, TrainingStream

LOOK_SECONDS = 1.0
"""Between two looks for news."""
STREAM_SECONDS = 600.0
"""Then a stream ends, and the client asks again: also with a key that is known no more."""
RETRY_MS = 2_000
"""When a client is to ask again whose stream has ended."""

router = APIRouter(responses=GUARDED | REFUSED | SHARED)


async def one_of_few(request: Request, services: ServicesDep) -> AsyncIterator[None]:
    """A stream's place among those of this process, and time beyond that of a usual answer.

    Raises:
        Overloaded: there are too many.
    """
    place, loop = object(), asyncio.get_running_loop()
    try:
        services.streams.acquire_on_behalf_of_nowait(place)
    except WouldBlock:
        most = services.streams.total_tokens
        raise Overloaded(f"{most:g} clients follow the training already; try again later") from None
    try:
        deadline: asyncio.Timeout = request.state.deadline
        deadline.reschedule(loop.time() + 2 * STREAM_SECONDS)
        yield
    finally:
        services.streams.release_on_behalf_of(place)


LastEventId = Annotated[
    str | None,
    Header(
        pattern=r"^\d{1,18}-\d{1,18}$",
        description="The `id` that came last: what came after it is sent",
    ),
]


@router.get(
    "/v1/training/events",
    response_class=EventSourceResponse,
    dependencies=[needs("read"), Depends(check_query), Depends(one_of_few)],
    tags=["model"],
)
async def training_events(
    services: ServicesDep, shared: SharedDep, last_event_id: LastEventId = None
) -> AsyncIterator[TrainingEvent | ServedModel | TrainingStatus]:
    """Follow a training, and what becomes of its models, as server-sent events.

    First comes what the latest training has told so far, then what it tells. An event's name is the
    `kind` of its data. `served` says which model this replica serves, at first and whenever
    another one takes over; `status` whether a training runs, and what stands in the way of
    following it. Only what the training tells has an `id`, and may come twice with one `number`.
    While nothing is told there is a comment every 15 seconds. A stream ends after ten minutes, or
    when the service stops: ask again with `Last-Event-ID`, as browsers do.
    """
    clock = asyncio.get_running_loop().time
    ends_at = clock() + STREAM_SECONDS
    follower = _Follower(services, shared.training, last_event_id or BEGINNING)
    yield ServerSentEvent(retry=RETRY_MS)  # type: ignore[misc]  # FastAPI takes both
    while clock() < ends_at and not services.drain.begun:
        for event in await follower.news():
            yield event  # type: ignore[misc]
        await asyncio.sleep(0 if follower.more else LOOK_SECONDS)


class _Follower:
    """What one client has been told, so that it is told nothing again."""

    def __init__(self, services: Services, stream: TrainingStream, after: str) -> None:
        self._services, self._stream, self._after = services, stream, after
        self._status: TrainingStatus | None = None
        self._served: Snapshot | None = None
        self.more = False
        """Whether there is more to tell at once."""

    async def news(self) -> list[ServerSentEvent]:
        """What there is to tell now."""
        return [*self._of_service(), *await self._of_training()]

    def _of_service(self) -> list[ServerSentEvent]:
        models = self._services.follower.models
        if models is None or models.live.snapshot.version == getattr(self._served, "version", None):
            return []
        before, self._served = self._served, models.live.snapshot
        return [_event(served_model(before, self._served))]

    async def _of_training(self) -> list[ServerSentEvent]:
        try:
            news = await self._stream.read(self._after)
        except SourceUnavailable as error:
            self.more = False
            return self._changed(TrainingStatus(running=None, warnings=[str(error)]))
        self._after, self.more = news.last, news.more
        told = [_event(event, entry) for entry, event in news.events]
        return told if news.more else [*told, *self._changed(TrainingStatus(running=news.running))]

    def _changed(self, status: TrainingStatus) -> list[ServerSentEvent]:
        before, self._status = self._status, status
        return [] if status == before else [_event(status)]


def served_model(before: Snapshot | None, now: Snapshot) -> ServedModel:
    """What is served now, and whether it is better than what was."""
    training, ndcg20 = now.manifest.training, now.manifest.metrics.get("valid/ndcg@20")
    better = None
    if before is not None and ndcg20 is not None:
        old, old_ndcg20 = before.manifest.training, before.manifest.metrics.get("valid/ndcg@20")
        if old.data_sha256 == training.data_sha256 and old_ndcg20 is not None:
            finished = old.early and not training.early
            better = ndcg20 > old_ndcg20 or (finished and ndcg20 == old_ndcg20)
    return ServedModel(
        model_version=now.version,
        created_at=now.created_at,
        epochs=training.best_epoch,
        early=training.early,
        valid_ndcg20=ndcg20,
        better=better,
    )


def _event(
    data: TrainingEvent | ServedModel | TrainingStatus, entry: str | None = None
) -> ServerSentEvent:
    return ServerSentEvent(data=data, event=data.kind, id=entry)
