"""The two clients: one for code that waits for its answers, one for asyncio.

Both have one method per function of `magnet_client.calls`, with its parameters. Every call may be
repeated: most only ask, an event counts once by its id, and putting an item twice is as once.

What they do is written once, with `await`. Where `Client` awaits, it is done already.
"""

import asyncio
import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import update_wrapper
from inspect import Parameter, signature
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx2
from pydantic import BaseModel

from magnet_client import calls
from magnet_client.calls import Call
from magnet_client.errors import MagnetError, ServiceAway, UnusableKey
from magnet_client.version import VERSION

Answer = TypeVar("Answer", bound=BaseModel)
Arguments = ParamSpec("Arguments")
Http = TypeVar("Http", httpx2.Client, httpx2.AsyncClient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a call is repeated, and how long to wait in between."""

    attempts: int = 4
    """Attempts of one call, the first included; 1: it is not repeated."""
    base_seconds: float = 0.1
    """Longest wait after the first failure; it doubles with each further one."""
    most_seconds: float = 10.0
    """Longest wait; the call fails if the service asks for a longer one."""

    def wait_seconds(self, failures: int, error: MagnetError) -> float:
        """How long to wait after so many failures, the last of which is `error`.

        What the service asks for, and a random part, so that clients that failed together do not
        come back together.

        Raises:
            MagnetError: `error` itself, if the call is not to be sent again.
        """
        asked = error.retry_after_seconds or 0.0
        if not error.may_pass or failures >= self.attempts or asked > self.most_seconds:
            raise error
        longest = min(self.base_seconds * 2 ** (failures - 1), self.most_seconds - asked)
        return asked + random.uniform(0.0, longest)


_CONNECT_SECONDS = 2.0
"""Milliseconds are enough within a network; the system sends a lost packet again after a second."""


DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE, KEY_VARIABLE = "MAGNET_URL", "MAGNET_API_KEY"


def _settings(base_url: str | None, api_key: str | None, *, trust_env: bool) -> dict[str, Any]:
    """Arguments of httpx2's clients; ValueError if the address is none, UnusableKey."""
    environment = os.environ if trust_env else {}
    base_url = base_url or environment.get(URL_VARIABLE) or DEFAULT_URL
    api_key = (environment.get(KEY_VARIABLE) if api_key is None else api_key) or None
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"{base_url!r} must start with http:// or https://")
    try:
        httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise ValueError(f"the service's address is not usable: {error}") from None
    headers = {"User-Agent": f"magnet-client/{VERSION}"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {_key(api_key)}"
    return {
        "base_url": base_url,
        "headers": headers,
        "trust_env": trust_env,
    }


def _timeout(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))


def _key(api_key: str) -> str:
    """A key without white space around it; UnusableKey, which does not repeat it."""
    key = api_key.strip()
    if not key or not (key.isascii() and key.isprintable()) or " " in key:
        raise UnusableKey(
            "the API key is not one: it is empty, or has a space, a line break or a character that "
            "is not ASCII; copy it again"
        )
    return key


def _away(base_url: httpx2.URL, error: httpx2.TransportError) -> ServiceAway:
    """The error for a connection that failed; it does not repeat a password."""
    shown = base_url.copy_with(userinfo=b"")
    if isinstance(error, httpx2.TimeoutException):
        return ServiceAway(f"{shown} did not answer in time ({type(error).__name__})")
    return ServiceAway(f"{shown} cannot be reached ({error}): is the service running there?")


class _Method(Generic[Arguments, Answer]):
    """A method of both clients: one waits for the answer, the other is a coroutine."""

    def __init__(self, make: Callable[Arguments, Call[Answer]]) -> None:
        def method(
            client: "Client | AsyncClient", /, *args: Arguments.args, **options: Arguments.kwargs
        ) -> Answer | Coroutine[Any, Any, Answer]:
            return client._send(make(*args, **options))

        update_wrapper(method, make)
        own, of_make = Parameter("self", Parameter.POSITIONAL_ONLY), signature(make)
        shown = of_make.replace(parameters=[own, *of_make.parameters.values()])
        method.__signature__ = shown  # type: ignore[attr-defined]
        self._method: Any = method

    @overload
    def __get__(self, client: "Client", kind: object = None) -> Callable[Arguments, Answer]: ...
    @overload
    def __get__(
        self, client: "AsyncClient", kind: object = None
    ) -> Callable[Arguments, Coroutine[Any, Any, Answer]]: ...
    @overload
    def __get__(self, client: None, kind: object) -> Callable[..., Any]: ...
    def __get__(self, client: Any, kind: Any = None) -> Any:
        return self._method.__get__(client, kind)


class _Shared(ABC, Generic[Http]):
    """What both clients are, but for how they wait."""

    _make: type[Http]

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 5.0,
        retries: Retries | None = None,
        trust_env: bool = True,
    ) -> None:
        self._http: Http = self._make(**_settings(base_url, api_key, trust_env=trust_env))
        self._timeout_seconds = timeout_seconds
        self._retries = retries or Retries()

    recommend = _Method(calls.recommend)
    recommend_batch = _Method(calls.recommend_batch)
    score = _Method(calls.score)
    explain = _Method(calls.explain)
    similar = _Method(calls.similar)
    users = _Method(calls.users)
    user = _Method(calls.user)
    erase_user = _Method(calls.erase_user)
    feedback = _Method(calls.feedback)
    rules = _Method(calls.rules)
    put_rules = _Method(calls.put_rules)
    delete_rules = _Method(calls.delete_rules)
    items = _Method(calls.items)
    items_named = _Method(calls.items_named)
    categories = _Method(calls.categories)
    item = _Method(calls.item)
    put_item = _Method(calls.put_item)
    patch_item = _Method(calls.patch_item)
    delete_item = _Method(calls.delete_item)
    put_items = _Method(calls.put_items)
    hide = _Method(calls.hide)
    show = _Method(calls.show)
    model = _Method(calls.model)
    models = _Method(calls.models)
    report = _Method(calls.report)
    experiment = _Method(calls.experiment)

    @abstractmethod
    async def _request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request."""

    @abstractmethod
    async def _sleep(self, seconds: float) -> None:
        """Wait."""

    async def _answered(self, call: Call[Answer]) -> Answer:
        failures = 0
        while True:
            try:
                return await self._attempt(call)
            except MagnetError as error:
                failures += 1
                seconds = self._retries.wait_seconds(failures, error)
            await self._sleep(seconds)

    async def _attempt(self, call: Call[Answer]) -> Answer:
        try:
            timeout = _timeout(self._timeout_seconds * call.times_longer)
            response = await self._request(
                call.method, call.path, params=call.params, timeout=timeout, **call.sent
            )
        except httpx2.TransportError as error:
            raise _away(self._http.base_url, error) from error
        return call.read(response)


class Client(_Shared[httpx2.Client]):
    """Asks one service; may be shared by threads.

    Args:
        base_url: where the service is; None for the variable MAGNET_URL, or port 8000 of this
            machine.
        api_key: of the scope that the calls need; None for the variable MAGNET_API_KEY, if it is
            set; an empty text for none.
        timeout_seconds: longest wait for one attempt, twelve times as long for `put_items`; a call
            may take several, see `retries`.
        retries: when a call that failed is sent again.
        trust_env: take these variables, proxies and certificates from the environment.

    Every method raises MagnetError; `magnet_client.errors` draws the tree.
    """

    _make = httpx2.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _send(self, call: Call[Answer]) -> Answer:
        try:
            self._answered(call).send(None)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        raise AssertionError("nothing is awaited that is not done")

    async def _request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return self._http.request(method, path, **more)

    async def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # no event loop runs this


class AsyncClient(_Shared[httpx2.AsyncClient]):
    """As `Client`, for asyncio: its methods are coroutines; may be shared by tasks."""

    _make = httpx2.AsyncClient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    def _send(self, call: Call[Answer]) -> Coroutine[Any, Any, Answer]:
        return self._answered(call)

    async def _request(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return await self._http.request(method, path, **more)

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
