"""What routes are handed (services, models, the call itself), and which keys they need."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from anyio import CapacityLimiter
from fastapi import Depends, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.auth.authenticator import Authenticator, TokenBucket
from service.auth.keys import Scope
from service.http.pages import PictureFolder
from service.http.problems import problems
from service.http.queries import check_names, parameters_of
from service.ops.metrics import Metrics
from service.ops.process import Drain
from service.recommend.answer import Answer
from service.recommend.engine import RecommendationEngine
from service.retrieval.shards import Shards
from service.schemas.errors import InvalidRequest, NotOffered, NotReady
from service.schemas.responses import Answered
from service.serving.experiment_counter import ExperimentCounter
from service.serving.follower import ModelFollower
from service.serving.served import Models
from service.serving.snapshot import Snapshot
from service.store.erasures import Erasures
from service.store.experiments import Experiments
from service.store.items import ItemStore
from service.store.registry import Registry
from service.store.shared_state import Availability, FeedbackStream, RulesStore
from service.store.store import RedisStore
from service.store.training import TrainingStream
from service.store.users import Changing

NOT_FOUND = problems({404: "NotFound"})
NO_EXPERIMENT = problems({404: "NoExperiment"})
CONFLICT = problems({409: "Conflict"})
SHARED = problems({501: "NotShared"})
GUARDED = problems({401: "NoKey", 403: "Forbidden", 429: "TooManyRequests"})
REFUSED = problems(
    {
        400: "BodyUnreadable",
        413: "BodyTooLarge",
        415: "BodyCompressed",
        422: "Invalid",
        503: "Unavailable",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedState:
    """What all replicas and training share, by way of Redis."""

    store: RedisStore
    availability: Availability
    feedback: FeedbackStream
    registry: Registry
    items: ItemStore
    erasures: Erasures
    experiments: Experiments
    experiment: ExperimentCounter
    """Counts for the one that runs."""
    rules: RulesStore
    training: TrainingStream
    changing: Changing
    """What this process knows of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the routes work with; built once per application."""

    engine: RecommendationEngine
    follower: ModelFollower
    authenticator: Authenticator
    drain: Drain
    metrics: Metrics
    limiter: CapacityLimiter
    max_k: int
    pictures: PictureFolder
    streams: CapacityLimiter
    """Of those who follow a training."""
    shared: SharedState | None
    """None without Redis."""
    shards: Shards | None
    """None if this process has the whole catalogue."""


# All of them are coroutines: FastAPI hands any other function to a thread, some 0.1 ms each.


async def get_services(request: Request) -> Services:
    """The application's services, from the lifespan's state."""
    services: Services = request.scope["state"]["services"]  # quicker than `request.state`
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_shared_state(services: ServicesDep) -> SharedState:
    """What replicas share; NotOffered without Redis."""
    if services.shared is None:
        raise NotOffered(
            "it serves a folder (MAGNET_ARTIFACT_DIR); unset that and set REDIS_URL, so that "
            "replicas and training have something to share"
        )
    return services.shared


SharedDep = Annotated[SharedState, Depends(get_shared_state)]


async def get_models(services: ServicesDep) -> Models:
    """What is served, captured once per request; NotReady before the first is loaded."""
    models = services.follower.models
    if models is None:
        raise NotReady(services.follower.live.trouble or "a model is being loaded")
    return models


ModelsDep = Annotated[Models, Depends(get_models)]


async def get_snapshot(models: ModelsDep) -> Snapshot:
    """The live model, for requests that name no user."""
    return models.live.snapshot


SnapshotDep = Annotated[Snapshot, Depends(get_snapshot)]


_TIMES = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def json_response(body: Mapping[str, Any]) -> Response:
    """A body as it is documented, serialised."""
    return Response(orjson.dumps(body, option=_TIMES), media_type="application/json")


class Call:
    """One request: the application's services, and what every answer carries."""

    def __init__(self, request: Request, services: Services) -> None:
        self.services = services
        self._started = time.perf_counter()
        state = request.scope["state"]
        self._request_id: str = state["request_id"]
        self._bucket: TokenBucket | None = state["bucket"]

    def charge(self, units: float) -> None:
        """Take from the key's rate what this call costs beyond the unit that it was let in for."""
        if self._bucket is not None and units > 1:
            self._bucket.take(units - 1)

    def answer(self, kind: Callable[..., Answered], **content: Any) -> Response:
        """An answer of a kind, with the request's id and the time since the call was made."""
        with self.services.metrics.stage("serialise"):
            return json_response(kind(**self._answered(), **content))

    def answer_list(self, models: Models, answer: Answer) -> Response:
        """A list with the request's id and the time, counted as shown."""
        self.shown(models, answer)
        own = orjson.dumps(self._answered())
        return Response(own[:-1] + b"," + answer.content[1:], media_type="application/json")

    def shown(self, models: Models, answer: Answer) -> None:
        """Count a list for the experiment, if one runs; one without items is none."""
        if self.services.shared is not None and answer.items:
            self.services.shared.experiment.shown(models, answer.user_id, answer.variant)

    def _answered(self) -> Answered:
        took_ms = round((time.perf_counter() - self._started) * 1000, 3)
        return Answered(request_id=self._request_id, took_ms=took_ms)

    def check_k(self, k: int, field: str) -> None:
        """InvalidRequest if a list is longer than the settings allow."""
        if k > self.services.max_k:
            raise InvalidRequest.of(field, f"{k} is too many, the most is {self.services.max_k}")


async def check_query(request: Request) -> None:
    """InvalidRequest for a query parameter that is not documented, or given twice."""
    check_names(request.scope["query_string"], parameters_of(request.scope["route"]))


async def begin_call(request: Request, services: ServicesDep) -> Call:
    """The call of a request that was let in, which begins now."""
    await check_query(request)
    return Call(request, services)


CallDep = Annotated[Call, Depends(begin_call)]


show_key = HTTPBearer(
    auto_error=False,
    description="An API key, made by `magnet keys new`. A service that listens only at its own "
    "machine may be set up without keys.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(show_key)]


def admit(
    scope: Scope, request: Request, services: Services, shown: HTTPAuthorizationCredentials | None
) -> None:
    """Let a request pass if its key has a scope; Unauthenticated, Forbidden, TooManyRequests."""
    host, _ = request.scope.get("server") or ("", None)
    request.scope["state"]["bucket"] = services.authenticator.admit(
        scope, secret=None if shown is None else shown.credentials, host=host
    )


def needs(scope: Scope) -> Any:
    """A dependency that lets a request pass if its key has a scope."""

    async def check(request: Request, services: ServicesDep, shown: Credentials) -> None:
        admit(scope, request, services, shown)

    return Security(check)
