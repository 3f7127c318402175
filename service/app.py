"""The composition root: settings in, application out.

    uvicorn --factory service.app:create_app

The only module that reads the environment or decides which collaborators there are.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from anyio import CapacityLimiter
from fastapi import FastAPI

from service.availability import Availability
from service.control import control
from service.dependencies import Services, SharedState
from service.engine import RecommendationEngine
from service.errors import PROBLEM_MEDIA_TYPE, install_handlers
from service.explainer import PairExplainer
from service.feedback import FeedbackIntake
from service.feedback_stream import FeedbackStream
from service.logs import configure_logging
from service.metrics import Metrics
from service.middleware import RequestMiddleware
from service.operations import operations
from service.refresh import ModelFollower, stop
from service.routes import router
from service.settings import Settings
from service.source import DiskSource, ModelSource, RedisSource
from service.store import RedisStore
from service.versions import PublishedVersions

_logger = logging.getLogger(__name__)


class State(TypedDict):
    """What the lifespan hands to every request."""

    services: Services


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application that serves by `settings`.

    Without them it is the whole process: settings come from the environment (SystemExit if they
    cannot be used) and the process's logs become JSON lines.
    """
    if settings is None:
        settings = Settings.from_environment()
        configure_logging(settings.log_level)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        store = None if settings.artifact_dir is not None else RedisStore(settings)
        source = _source(settings, store)
        follower = ModelFollower(
            source, metrics, namespace=settings.namespace, poll_seconds=settings.poll_seconds
        )
        limiter = CapacityLimiter(settings.score_threads)
        engine = RecommendationEngine(
            metrics=metrics, max_batch=settings.max_batch, max_waiting=settings.max_waiting
        )
        following = asyncio.create_task(follower.run())
        try:
            yield State(
                services=Services(
                    engine=engine,
                    explainer=PairExplainer(metrics=metrics, limiter=limiter),
                    follower=follower,
                    metrics=metrics,
                    limiter=limiter,
                    max_k=settings.max_k,
                    shared=None if store is None else _shared(settings, store, metrics),
                )
            )
        finally:
            await engine.close()
            await stop(following)
            await source.close()

    app = _Application(
        title="MAGNET recommender",
        description="Top-K recommendations in which every score is the sum of what the experts "
        "of a multimodal mixture contribute.",
        version="1",
        lifespan=lifespan,
    )
    app.add_middleware(RequestMiddleware, metrics=metrics)
    install_handlers(app)
    app.include_router(router)
    app.include_router(control)
    app.include_router(operations)
    return app


def _source(settings: Settings, store: RedisStore | None) -> ModelSource:
    if store is None:
        assert settings.artifact_dir is not None
        _logger.info("serving from disk: %s", settings.artifact_dir)
        return DiskSource(settings.artifact_dir)
    _logger.info("following namespace %s at %s", settings.namespace, settings.redis_address)
    return RedisSource(store, settings.user_cache_size)


def _shared(settings: Settings, store: RedisStore, metrics: Metrics) -> SharedState:
    stream = FeedbackStream(
        store,
        capacity=settings.feedback_capacity,
        recent_items=settings.recent_items,
        recent_seconds=settings.recent_days * 24 * 3600,
    )
    return SharedState(
        availability=Availability(store),
        feedback=FeedbackIntake(stream, metrics),
        versions=PublishedVersions(store),
    )


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The schema, with problem documents under their own media type."""
        if self.openapi_schema is None:
            schema = super().openapi()
            operations = [op for path in schema["paths"].values() for op in path.values()]
            for operation in operations:
                for status, response in operation["responses"].items():
                    if status.startswith(("4", "5")):
                        content = response["content"]
                        content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
        assert self.openapi_schema is not None
        return self.openapi_schema
