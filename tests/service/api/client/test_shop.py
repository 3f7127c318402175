"""The example app, as its own text says to start it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

CLIENT = Path(__file__).parents[4] / "client"


Open = Callable[[str], httpx2.Client]


@pytest.fixture
def opened(url: str, keys: dict[str, tuple[str, str]]) -> Iterator[Open]:
    """Opens a shop that has the named key; returns a visitor."""
    with ExitStack() as stack:

        def open_shop(key: str) -> httpx2.Client:
            command = [sys.executable, CLIENT / "examples" / "shop.py", "--url", url, "--port", "0"]
            env = os.environ | {"MAGNET_API_KEY": keys[key][1], "PYTHONPATH": str(CLIENT)}
            env["NO_PROXY"] = "127.0.0.1"
            shop = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
            stack.enter_context(shop)
            stack.callback(shop.terminate)
            assert shop.stdout is not None
            (address,) = re.findall(r"http://\S+", shop.stdout.readline())
            visitor = httpx2.Client(
                base_url=address, trust_env=False, timeout=30, follow_redirects=True
            )
            return stack.enter_context(visitor)

        yield open_shop


def test_a_click_changes_the_list(opened: Open) -> None:
    visitor = opened("everything")
    page = visitor.get("/").text
    assert "<h1>Popular now</h1>" in page
    first, *others = re.findall(r'href="(/view\?item=[^"]+)"', page)
    assert len(others) == 7
    after = visitor.get(first).text
    assert "<h1>Because you looked at " in after
    assert first not in after
    assert len(re.findall("<p>", after)) == 8
    assert visitor.get("/elsewhere").status_code == 404


def test_a_visitor_is_not_lost_with_an_event(opened: Open) -> None:
    after = opened("reader").get("/view?item=i000")
    assert after.status_code == 200
    assert "<h1>Because you looked at Title 0</h1>" in after.text


def test_a_service_that_refuses(opened: Open) -> None:
    page = opened("shop").get("/")
    assert page.status_code == 503
    assert "not open to this caller" in page.text
