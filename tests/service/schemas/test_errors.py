import asyncio

import httpx2

from service.app import create_app
from service.ops.settings import Settings


def test_a_bug_is_a_problem_document_that_gives_nothing_away() -> None:
    app = create_app(Settings())

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the secret reason")

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/bug")

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.text
