"""The two clients: one for code that waits for its answers, one for asyncio."""

import asyncio
import time
from collections.abc import Sequence
from typing import Self, TypeVar, Unpack

import httpx2
from pydantic import BaseModel

from magnet_client import calls
from magnet_client.answers import (
    BatchResponse,
    ExplanationResponse,
    FeedbackResponse,
    ItemsResponse,
    ModelResponse,
    ModelsResponse,
    RecommendationResponse,
    SimilarResponse,
)
from magnet_client.calls import Event, RecommendationOptions, RecommendationRequest
from magnet_client.connection import Retries, away, settings
from magnet_client.errors import MagnetError

Answer = TypeVar("Answer", bound=BaseModel)


class Client:
    """Asks one service; may be shared by threads.

    Args:
        base_url: where the service is, such as http://127.0.0.1:8000.
        api_key: of the scope that the calls need; None where the service asks for none.
        timeout_seconds: longest wait for one attempt; a call may take several, see `retries`.
        retries: when a call that failed is sent again.
        trust_env: take proxies and certificates from the environment.

    Every method raises MagnetError; `magnet_client.errors` draws the tree.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 5.0,
        retries: Retries | None = None,
        trust_env: bool = True,
    ) -> None:
        self._http = httpx2.Client(
            **settings(base_url, api_key, timeout_seconds, trust_env=trust_env)
        )
        self._retries = retries or Retries()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def recommend(
        self, user_id: str | None = None, **options: Unpack[RecommendationOptions]
    ) -> RecommendationResponse:
        """A list for a user, a session (`session_items`), or a user in a session.

        A user who is not known gets popular items, flagged by `fallback`.
        """
        return self._send(calls.recommend(user_id, options))

    def recommend_batch(self, requests: Sequence[RecommendationRequest]) -> BatchResponse:
        """Several lists from one model version, in the order of the requests."""
        return self._send(calls.recommend_batch(requests))

    def score(
        self,
        items: Sequence[str],
        *,
        user_id: str | None = None,
        session_items: Sequence[str] = (),
    ) -> RecommendationResponse:
        """Rank a list that you bring: all of its known items, seen or not."""
        return self._send(calls.score(items, user_id, session_items))

    def explain(
        self, item_id: str, *, user_id: str | None = None, session_items: Sequence[str] = ()
    ) -> ExplanationResponse:
        """Why an item, recommended or not, has its score."""
        return self._send(calls.explain(item_id, user_id, session_items))

    def similar(self, item_id: str, *, k: int = 10, modality: str | None = None) -> SimilarResponse:
        """The items nearest to one, by one modality or by the mean of all."""
        return self._send(calls.similar(item_id, k, modality))

    def feedback(self, *events: Event) -> FeedbackResponse:
        """Report what users did: all events are kept, or none.

        Sent again until it is answered, as an event counts once by its id.
        """
        return self._send(calls.feedback(events))

    def items(
        self,
        title: str = "",
        *,
        categories: Sequence[str] = (),
        offset: int = 0,
        limit: int = 20,
    ) -> ItemsResponse:
        """Items by a part of the title or by category, the most popular first."""
        return self._send(calls.items(title, categories, offset, limit))

    def items_named(self, item_ids: Sequence[str]) -> ItemsResponse:
        """Some items, in the order in which they are named."""
        return self._send(calls.items_named(item_ids))

    def model(self) -> ModelResponse:
        """What is being served."""
        return self._send(calls.model())

    def models(self) -> ModelsResponse:
        """What has been published, newest first."""
        return self._send(calls.models())

    def _send(self, call: calls.Call[Answer]) -> Answer:
        failures = 0
        while True:
            try:
                return self._attempt(call)
            except MagnetError as error:
                failures += 1
                seconds = self._retries.wait_seconds(failures, error)
            time.sleep(seconds)

    def _attempt(self, call: calls.Call[Answer]) -> Answer:
        try:
            response = self._http.request(
                call.method, call.path, params=call.params, json=call.body
            )
        except httpx2.TransportError as error:
            raise away(self._http.base_url, error) from error
        return call.read(response)


class AsyncClient:
    """As `Client`, for asyncio: its methods are coroutines; may be shared by tasks."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 5.0,
        retries: Retries | None = None,
        trust_env: bool = True,
    ) -> None:
        self._http = httpx2.AsyncClient(
            **settings(base_url, api_key, timeout_seconds, trust_env=trust_env)
        )
        self._retries = retries or Retries()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def recommend(
        self, user_id: str | None = None, **options: Unpack[RecommendationOptions]
    ) -> RecommendationResponse:
        """A list for a user, a session (`session_items`), or a user in a session.

        A user who is not known gets popular items, flagged by `fallback`.
        """
        return await self._send(calls.recommend(user_id, options))

    async def recommend_batch(self, requests: Sequence[RecommendationRequest]) -> BatchResponse:
        """Several lists from one model version, in the order of the requests."""
        return await self._send(calls.recommend_batch(requests))

    async def score(
        self,
        items: Sequence[str],
        *,
        user_id: str | None = None,
        session_items: Sequence[str] = (),
    ) -> RecommendationResponse:
        """Rank a list that you bring: all of its known items, seen or not."""
        return await self._send(calls.score(items, user_id, session_items))

    async def explain(
        self, item_id: str, *, user_id: str | None = None, session_items: Sequence[str] = ()
    ) -> ExplanationResponse:
        """Why an item, recommended or not, has its score."""
        return await self._send(calls.explain(item_id, user_id, session_items))

    async def similar(
        self, item_id: str, *, k: int = 10, modality: str | None = None
    ) -> SimilarResponse:
        """The items nearest to one, by one modality or by the mean of all."""
        return await self._send(calls.similar(item_id, k, modality))

    async def feedback(self, *events: Event) -> FeedbackResponse:
        """Report what users did: all events are kept, or none.

        Sent again until it is answered, as an event counts once by its id.
        """
        return await self._send(calls.feedback(events))

    async def items(
        self,
        title: str = "",
        *,
        categories: Sequence[str] = (),
        offset: int = 0,
        limit: int = 20,
    ) -> ItemsResponse:
        """Items by a part of the title or by category, the most popular first."""
        return await self._send(calls.items(title, categories, offset, limit))

    async def items_named(self, item_ids: Sequence[str]) -> ItemsResponse:
        """Some items, in the order in which they are named."""
        return await self._send(calls.items_named(item_ids))

    async def model(self) -> ModelResponse:
        """What is being served."""
        return await self._send(calls.model())

    async def models(self) -> ModelsResponse:
        """What has been published, newest first."""
        return await self._send(calls.models())

    async def _send(self, call: calls.Call[Answer]) -> Answer:
        failures = 0
        while True:
            try:
                return await self._attempt(call)
            except MagnetError as error:
                failures += 1
                seconds = self._retries.wait_seconds(failures, error)
            await asyncio.sleep(seconds)

    async def _attempt(self, call: calls.Call[Answer]) -> Answer:
        try:
            response = await self._http.request(
                call.method, call.path, params=call.params, json=call.body
            )
        except httpx2.TransportError as error:
            raise away(self._http.base_url, error) from error
        return call.read(response)
