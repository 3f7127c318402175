"""The composition root: makes the application out of the settings.

No other module reads the environment or decides which parts there are.
"""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any, TypedDict

from anyio import CapacityLimiter, move_on_after, to_thread
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from threadpoolctl import threadpool_limits
from uvicorn.config import STARTUP_FAILURE

from model.artifact.stored import PER_USER
from model.tracing.setup import traces_wanted
from service.api import (
    admin,
    catalogue,
    erasures,
    experiments,
    health,
    items,
    recommend,
    reports,
    rules,
    shard,
    training,
)
from service.api.dependencies import Services, SharedState
from service.api.document import tidy
from service.api.hot import HotRoutes
from service.auth.authenticator import Authenticator, host_of_command
from service.auth.local_trust import LocalTrust
from service.http.middleware import HEADER, Limits, RequestMiddleware
from service.http.pages import PictureFolder, install_documentation, install_page, install_pictures
from service.http.problems import install_handlers
from service.ops.logs import configure_logging
from service.ops.metrics import Metrics, metrics_port
from service.ops.process import Drain, repeat, stop, tune_process
from service.ops.pseudonyms import Pseudonyms
from service.ops.settings import Settings, is_local
from service.recommend.engine import RecommendationEngine
from service.retrieval.shards import Shards
from service.serving.cache import ModelCache
from service.serving.canary_guard import CanaryGuard
from service.serving.experiment_counter import REPORT_SECONDS, ExperimentCounter
from service.serving.follower import ModelFollower
from service.serving.snapshot import Search
from service.serving.source import DiskSource, ModelSource, RedisSource
from service.store.erasures import Erasures
from service.store.experiments import Experiments
from service.store.items import ItemStore
from service.store.local_state import LocalState
from service.store.registry import Registry
from service.store.shared_state import Availability, FeedbackStream, RulesStore
from service.store.store import RedisStore
from service.store.training import TrainingStream
from service.store.users import Changing

if TYPE_CHECKING:
    from model.tracing.otel import Traces

SERVICE = "magnet"
"""Its name in traces."""
TRACES_SECONDS = 3.0
"""For the last spans to be sent when the process ends."""
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI's own would tell paths, which name users, and the words of errors."""
ITEMS_SECONDS = 0.25
"""Between looks for items that were put: they are in lists well within a second."""
MOST_STREAMS = 64
"""Clients of one process that follow a training at a time; each asks Redis once a second."""

POLICY_SECONDS = 30.0
"""Between looks at how Redis is set up."""

_logger = logging.getLogger(__name__)


class State(TypedDict):
    """What every request gets from the lifespan."""

    services: Services


def create_app(settings: Settings | None = None, traces: "Traces | None" = None) -> FastAPI:
    """An application that serves by `settings`, and tells of each request in `traces`, if given.

    Without settings it sets up this process: they come from the environment (SystemExit if they
    cannot be used), and its logs become JSON lines.
    """
    if settings is None:
        return _for_this_process()
    metrics, pseudonyms = Metrics(), Pseudonyms()
    authenticator = Authenticator(
        metrics,
        keys=settings.keys,
        file=settings.keys_file,
        allow_anonymous=settings.allow_anonymous,
        requests_per_second=settings.key_requests_per_second,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        port = metrics_port(settings.metrics_host, settings.metrics_port, metrics.registry)
        running = running_services(settings, metrics, authenticator, pseudonyms)
        async with port, running as services:
            yield State(services=services)
        if traces is not None:
            with move_on_after(TRACES_SECONDS):
                await to_thread.run_sync(traces.close, abandon_on_cancel=True)

    app = _Application(
        settings,
        metrics,
        pseudonyms,
        LocalTrust(
            metrics,
            settings.allowed_hosts.split(),
            settings.origins,
            asks_for_keys=authenticator.asks_for_keys,
            allow_anonymous=settings.allow_anonymous,
        ),
        traces,
        title="MAGNET recommender",
        description="Top-K recommendations in which every score is the sum of what the experts "
        "of a multimodal mixture contribute.",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        redirect_slashes=False,  # behind a proxy a redirect may lead from https to http
    )
    install_handlers(app)
    routers = (
        recommend,
        catalogue,
        rules,
        admin,
        reports,
        health,
        items,
        experiments,
        erasures,
        training,
        shard,
    )
    for resource in routers:
        app.include_router(resource.router)
    install_documentation(app)
    install_page(app)
    install_pictures(app, settings.pictures_dir)
    return app


def _for_this_process() -> FastAPI:
    try:
        app = app_listening_at(host_of_command())
    except SystemExit as error:
        if parent_process() is None:
            raise
        # One of several workers: by this status their parent knows not to start it again. At once,
        # for the parent kills a worker that takes its time to exit, and then knows nothing.
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(STARTUP_FAILURE)
    tune_process()
    return app


def app_listening_at(host: str | None) -> FastAPI:
    """An application for requests that come in at a host, None if it is not known.

    Raises:
        SystemExit: by the settings in the environment it cannot or must not run.
    """
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    guarded = settings.keys or settings.keys_file is not None or settings.allow_anonymous
    if host is not None and not is_local(host) and not guarded:
        raise SystemExit(
            f"magnet: listening at {host} lets in whoever can reach it: set MAGNET_KEYS_FILE "
            "(`magnet keys new` makes a key), or MAGNET_ALLOW_ANONYMOUS=true if that is "
            "what you want (see docs/configuration.md)"
        )
    try:
        made = create_app(settings, traces_wanted(os.environ, SERVICE))
    except ValueError as error:
        raise SystemExit(f"magnet: {error} (see docs/configuration.md)") from None
    gc.freeze()  # all modules are there to stay: to look through them takes 50 ms, each time
    return made


@asynccontextmanager
async def running_services(
    settings: Settings,
    metrics: Metrics,
    authenticator: Authenticator,
    pseudonyms: Pseudonyms | None = None,
) -> AsyncIterator[Services]:
    """What routes work with, for as long as the application runs."""
    store = None if settings.artifact_dir is not None else RedisStore(settings)
    local = _local_state(settings)
    changing = None if store is None else Changing(store, local, pseudonyms)
    item_store = None if store is None else ItemStore(store, local)
    shards = _shards(settings, metrics)
    follower = ModelFollower(
        _source(settings, store, changing),
        metrics,
        namespace=settings.namespace,
        poll_seconds=settings.poll_seconds,
        search=Search(settings.retrieval, shards),
        items=item_store,
    )
    limiter = CapacityLimiter(settings.score_threads)
    engine = RecommendationEngine(
        metrics=metrics,
        max_batch=settings.max_batch,
        max_waiting=settings.max_waiting,
        most_kept_bytes=settings.kept_answers_bytes,
    )
    if changing is not None:
        changing.erased.forget = engine.kept.forget
    drain = Drain(settings.drain_seconds)
    running = [follower.run()]
    shared = None
    if store is not None and changing is not None:
        shared = _shared(settings, store, changing, metrics)
        running.append(repeat(follower.follow_items, ITEMS_SECONDS, "changes of items"))
        running.append(repeat(changing.look, settings.poll_seconds, "what is hidden"))
        running.append(repeat(shared.store.look_at_server, POLICY_SECONDS, "Redis's policy"))
        running += _watches(settings, follower, shared, metrics)
    tasks = [asyncio.create_task(each) for each in running]
    try:
        # Requests and workers run in parallel; BLAS threads would compete with them for cores.
        with threadpool_limits(limits=1), drain.on_signals():
            yield Services(
                engine=engine,
                follower=follower,
                authenticator=authenticator,
                drain=drain,
                metrics=metrics,
                limiter=limiter,
                max_k=settings.max_k,
                pictures=PictureFolder(settings.pictures_dir),
                streams=CapacityLimiter(MOST_STREAMS),
                shared=shared,
                shards=shards,
            )
    finally:
        await engine.close()
        for task in tasks:
            await stop(task)
        if shards is not None:
            shards.close()
        if changing is not None:
            await changing.close()
        if store is not None:
            await store.close()


def _shards(settings: Settings, metrics: Metrics) -> Shards | None:
    if settings.shard_place is None:
        return None
    return Shards(
        settings.shard_place,
        settings.shard_urls,
        settings.shard_key,
        settings.shard_timeout_seconds,
        metrics,
    )


def _local_state(settings: Settings) -> LocalState | None:
    folder = settings.cache_dir
    return None if folder is None else LocalState(folder / settings.namespace)


def _source(settings: Settings, store: RedisStore | None, changing: Changing | None) -> ModelSource:
    if store is None or changing is None:
        assert settings.artifact_dir is not None
        _logger.info("serving from disk: %s", settings.artifact_dir)
        return DiskSource(settings.artifact_dir)
    _logger.info("following namespace %s at %s", settings.namespace, settings.redis_address)
    cache = None
    if settings.cache_dir is not None:
        cache = ModelCache(settings.cache_dir, settings.namespace, left_out=PER_USER)
    return RedisSource(store, settings.user_cache_size, changing, cache)


def _shared(
    settings: Settings, store: RedisStore, changing: Changing, metrics: Metrics
) -> SharedState:
    experiments = Experiments(store)
    return SharedState(
        store=store,
        availability=Availability(store),
        feedback=FeedbackStream(store, capacity=settings.feedback_capacity),
        registry=Registry(store),
        items=ItemStore(store),
        erasures=Erasures(store),
        experiments=experiments,
        experiment=ExperimentCounter(experiments, metrics),
        rules=RulesStore(store),
        training=TrainingStream(store),
        changing=changing,
    )


def _watches(
    settings: Settings, follower: ModelFollower, shared: SharedState, metrics: Metrics
) -> Iterator[Coroutine[Any, Any, None]]:
    """What is told to or looked up in Redis again and again, beside the follower."""
    registry = shared.registry
    guard = CanaryGuard(follower, registry, metrics)

    async def show_retraining() -> None:
        metrics.show_retraining(await registry.latest_retraining())

    yield repeat(guard.look, settings.poll_seconds, "the canary")
    yield repeat(shared.experiment.report, REPORT_SECONDS, "the experiment")
    yield repeat(show_retraining, settings.poll_seconds, "the latest retraining")


class _Application(FastAPI):
    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        pseudonyms: Pseudonyms,
        trust: LocalTrust,
        traces: "Traces | None",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._traces = traces
        self._pseudonyms = pseudonyms
        self._trust = trust
        self._settings = settings
        self._metrics = metrics

    def build_middleware_stack(self) -> ASGIApp:
        """Put our middleware outermost, so that it sees the answers to failures too."""
        app = RequestMiddleware(
            HotRoutes(super().build_middleware_stack()),
            metrics=self._metrics,
            pseudonyms=self._pseudonyms,
            check=self._trust.check,
            limits=Limits(
                body_bytes=self._settings.max_body_bytes,
                bulk_bytes=self._settings.max_bulk_bytes,
                seconds=self._settings.request_timeout_seconds,
            ),
            traces=self._traces,
        )
        origins = self._settings.origins
        if not origins:
            return app
        return CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Content-Encoding", HEADER],
            expose_headers=[HEADER, "Retry-After"],
        )

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            tidy(super().openapi(), self._settings.max_k)
        assert self.openapi_schema is not None
        return self.openapi_schema
