"""JSON over HTTP on this machine, and three curl lines that work with what is served."""

import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np

from model.artifact.files import Artifact
from model.artifact.tables import IdTable

_SESSION_ITEMS = 2
_ENOUGH_HISTORY = 20
_TIMEOUT_SECONDS = 10.0
_direct = build_opener(ProxyHandler({}))
"""Never through a proxy: the service is on this machine."""


def get_json(url: str) -> Any:
    """The JSON at a URL of this machine; OSError (URLError, HTTPError) if there is none."""
    with _direct.open(url, timeout=_TIMEOUT_SECONDS) as answer:
        return json.load(answer)


def post_json(url: str, body: object) -> Any:
    """What a URL of this machine answers to JSON; OSError if that is a refusal, or nothing."""
    headers = {"Content-Type": "application/json"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers)
    with _direct.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        return json.load(answer)


def curl_lines(base_url: str, artifact: Artifact) -> Iterator[tuple[str, str]]:
    """What to try and how: (title, command) pairs for the model that `base_url` serves."""
    user = _example_user(artifact)
    path = f"{base_url}/v1/users/{quote(user, safe='')}"
    shown = [item["item_id"] for item in get_json(f"{path}/recommendations?k=20")["items"]]
    items = shown[:_SESSION_ITEMS]
    yield f"what to recommend to user {user}", _curl(f"{path}/recommendations?k=3")
    if not items:
        return
    yield f"why item {items[0]}", _curl(f"{path}/explanations/{quote(items[0], safe='')}")
    body = json.dumps({"session_items": items, "k": 3})
    options = ["-H", "content-type: application/json", "-d", body]
    yield (
        f"a visitor who looked at {' and '.join(items)}",
        _curl(f"{base_url}/v1/recommendations", *options),
    )


def _example_user(artifact: Artifact) -> str:
    """The first user with enough history for her list to say something about her."""
    tensors = artifact.tensors
    seen_per_user = np.minimum(np.diff(tensors["seen_offsets"]), _ENOUGH_HISTORY)
    ids = IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"])
    return ids[int(np.argmax(seen_per_user))]


def _curl(url: str, *options: str) -> str:
    return shlex.join(["curl", "-s", url, *options])
