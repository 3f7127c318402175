"""A shop in one file: a visitor's list, why each item is in it, and clicks that change it.

    python client/examples/shop.py --url http://127.0.0.1:8000 --port 8080

A cookie remembers visitors, in memory. There is no framework between the page and the client's
calls.
"""

import argparse
import os
import sys
from collections import defaultdict, deque
from functools import partial
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit
from uuid import uuid4

from magnet_client import Client, Event, MagnetError, RecommendedItem

REMEMBERED = 20
"""Items of a session; older ones say little about what a visitor looks for now."""


class Shop(ThreadingHTTPServer):
    """Serves the page; one client is shared by all requests."""

    def __init__(self, magnet: Client, port: int) -> None:
        super().__init__(("127.0.0.1", port), Page)
        self.magnet = magnet
        self.sessions: defaultdict[str, deque[str]] = defaultdict(partial(deque, maxlen=REMEMBERED))
        """What each visitor has looked at, oldest first."""


class Page(BaseHTTPRequestHandler):
    """The list at `/`; `/view?item=ID` is a click."""

    server: Shop

    def do_GET(self) -> None:
        """Answer with the page, or with a way back to it."""
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("visitor")
        visitor = uuid4().hex if cookie is None else cookie.value
        address = urlsplit(self.path)
        if address.path == "/":
            self._show(visitor)
        elif address.path == "/view":
            self._click(visitor, parse_qs(address.query).get("item", [""])[0])
        else:
            self.send_error(404)

    def _show(self, visitor: str) -> None:
        try:
            body = self._page(visitor)
        except MagnetError as error:
            self.send_error(503, explain=str(error))
            return
        self._begin(200, visitor, {"Content-Type": "text/html; charset=utf-8"})
        self.wfile.write(body.encode())

    def _page(self, visitor: str) -> str:
        magnet, session = self.server.magnet, list(self.server.sessions[visitor])
        if session:
            answer = magnet.recommend(session_items=session, k=8, diversity=0.2)
            looked_at = [item.title or item.item_id for item in magnet.items_named(session).items]
            title = f"Because you looked at {', '.join(looked_at[-2:])}"
        else:
            answer = magnet.recommend(visitor, k=8)
            title = "Popular now"
        cards = "".join(map(_card, answer.items))
        return f"<!doctype html><title>Shop</title><h1>{escape(title)}</h1><ol>{cards}</ol>"

    def _click(self, visitor: str, item_id: str) -> None:
        self.server.sessions[visitor].append(item_id)
        try:
            self.server.magnet.feedback(Event(user_id=visitor, item_id=item_id, type="view"))
        except MagnetError as error:
            self.log_message("feedback was not kept: %s", error)  # no reason to lose the visitor
        self._begin(303, visitor, {"Location": "/"})

    def _begin(self, status: int, visitor: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        remembered = {"Set-Cookie": f"visitor={visitor}; HttpOnly; SameSite=Lax"}
        for name, value in (headers | remembered).items():
            self.send_header(name, value)
        self.end_headers()


def _card(item: RecommendedItem) -> str:
    why = f"<p>{escape(item.reasons[0])}</p>" if item.reasons else ""
    name = escape(item.title or item.item_id)
    return f'<li><a href="/view?item={quote(item.item_id, safe="")}">{name}</a>{why}</li>'


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A shop that recommends.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8080, help="default: %(default)s")
    options = parser.parse_args()
    key = os.environ.get("MAGNET_API_KEY")
    with Client(options.url, api_key=key) as magnet, Shop(magnet, options.port) as shop:
        sys.stdout.write(f"The shop is open: http://127.0.0.1:{shop.server_port}\n")
        sys.stdout.flush()
        shop.serve_forever()


if __name__ == "__main__":
    main()
