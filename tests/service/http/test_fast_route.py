"""What a lean route reads is what the framework would have read."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, Header, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict

from service.http.fast_route import LeanDispatch, LeanRoute


class Search(BaseModel):
    model_config = ConfigDict(extra="forbid")
    k: int = 10
    category: list[str] = []
    more: list[int] | None = None


class Wish(BaseModel):
    model_config = ConfigDict(strict=True)
    item: str
    often: int = 1


async def whose(request: Request) -> str:
    request.state.asked = getattr(request.state, "asked", 0) + 1
    return request.headers.get("x-user", "nobody")


async def greeting(user: Annotated[str, Depends(whose)]) -> str:
    return f"hello {user}"


def client_of(kind: type[APIRoute], *, dispatched: bool = False) -> TestClient:
    router = APIRouter(route_class=kind, dependencies=[Depends(whose)])

    @router.get("/search/{place:path}")
    async def search(place: str, search: Annotated[Search, Query()]) -> Response:
        return Response(f"{place} {search!r}")

    @router.get("/simple")
    async def simple(request: Request, name: str, k: Annotated[int, Query(ge=1)] = 3) -> Response:
        return Response(f"{name!r} {k} {request.state.asked}")

    @router.post("/wish")
    async def wish(wish: Wish, words: Annotated[str, Depends(greeting)]) -> Response:
        return Response(f"{wish!r} {words}")

    app = FastAPI()
    app.include_router(router)
    if dispatched:
        app.add_middleware(LeanDispatch, routers=[router])
    return TestClient(app)


@pytest.fixture(scope="module", params=["lean", "dispatched"])
def both(request) -> tuple[TestClient, TestClient]:
    return client_of(LeanRoute, dispatched=request.param == "dispatched"), client_of(APIRoute)


@pytest.mark.parametrize(
    "path",
    [
        "/search/a",
        "/search/a%2Fb/%C3%BC?k=5",
        "/search/a?category=x&category=y&k=1&k=2",
        "/search/a?more=1&more=2",
        "/search/a?more=1",
        "/search/a?k=",
        "/search/a?k=five",
        "/search/a?novelty=1",
        "/search/a?k=%FF",
        "/simple",
        "/simple?name=",
        "/simple?name=a&name=b&k=7&other=1",
        "/simple?name=a&k=0",
        f"/simple?name={'a' * 300}",
        "/wish",
        "/nothing",
    ],
)
def test_values_of_path_and_query(both, path: str) -> None:
    lean, usual = (client.get(path) for client in both)
    assert (lean.status_code, lean.text) == (usual.status_code, usual.text)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/x"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"item": "a", "often": 2, "more": 1}',
        b'{"item": "a", "often": "2"}',
        b'{"item": "a", "often": 2.0}',
        b'{"item": "a", "often": 100000000000000000000}',
        b'{"item": "a", "item": "b"}',
        b'{"item": "\\ud800"}',
        b"[1]",
        b"null",
        b"{",
        b"",
    ],
)
def test_bodies(both, body: bytes, kind: str) -> None:
    headers = {"content-type": kind, "x-user": "me"}
    lean, usual = (client.post("/wish", content=body, headers=headers) for client in both)
    assert (lean.status_code, lean.text) == (usual.status_code, usual.text)


def test_a_query_is_read_once_and_a_fault_in_it_is_a_fault_again(both) -> None:
    for client in both:
        found = [client.get(f"/simple?name=a&k={k}").status_code for k in (0, 1, 0, 1)]
        assert found == [422, 200, 422, 200]


def test_a_dependency_runs_once_even_where_the_framework_answers(both) -> None:
    for client in both:
        assert client.get("/simple?name=a").text.endswith(" 1")


async def with_header(x_user: Annotated[str, Header()]) -> Response:
    return Response(x_user)


async def with_cookie(user: Annotated[str, Cookie()]) -> Response:
    return Response(user)


async def with_two_bodies(one: Wish, two: Annotated[int, Body()]) -> Response:
    return Response(f"{one}{two}")


async def with_model_and_value(search: Annotated[Search, Query()], name: str) -> Response:
    return Response(f"{search}{name}")


async def with_lists(names: Annotated[list[str], Query()]) -> Response:
    return Response(f"{names}")


def blocking() -> Response:
    return Response()


async def with_blocking(found: Annotated[Any, Depends(blocking)]) -> Response:
    return Response(f"{found}")


async def with_query(k: int) -> int:
    return k


async def with_parameter_below(k: Annotated[int, Depends(with_query)]) -> Response:
    return Response(f"{k}")


@pytest.mark.parametrize(
    "function",
    [
        with_header,
        with_cookie,
        with_two_bodies,
        with_lists,
        with_model_and_value,
        blocking,
        with_blocking,
        with_parameter_below,
    ],
)
def test_what_it_cannot_read_is_refused_when_it_is_declared(function) -> None:
    with pytest.raises(TypeError, match="/it: a lean route"):
        LeanRoute("/it", function, methods=["POST"])
