"""Three curl lines that work: a user's list, why an item is in it, and a visitor without a user.

Knows the service's paths; asks the running service, so that every id it prints is a real one.
"""

import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np

from model.contract.artifact import Artifact
from model.contract.strings import IdTable

_SESSION_ITEMS = 2
_ENOUGH_HISTORY = 20
_TIMEOUT_SECONDS = 10.0
_direct = build_opener(ProxyHandler({}))
"""Never through a proxy: the service is on this machine."""


def get_json(url: str) -> Any:
    """The JSON at a URL of this machine; OSError (URLError, HTTPError) if there is none."""
    with _direct.open(Request(url), timeout=_TIMEOUT_SECONDS) as answer:
        return json.load(answer)


def example_user(artifact: Artifact) -> str:
    """A user with some history, so that her list says something about her."""
    seen_per_user = np.diff(artifact.tensors["seen_offsets"])
    row = int(np.argmax(np.minimum(seen_per_user, _ENOUGH_HISTORY)))
    tensors = artifact.tensors
    return IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"])[row]


def curl_lines(base_url: str, artifact: Artifact) -> Iterator[tuple[str, str]]:
    """What to try and how: (title, command) pairs for the model that `base_url` serves."""
    user = example_user(artifact)
    path = f"{base_url}/v1/users/{quote(user, safe='')}"
    items = get_json(f"{path}/recommendations?k={_SESSION_ITEMS}")["items"]
    ids = [item["item_id"] for item in items]
    session = json.dumps({"session_items": ids, "k": 3})
    yield f"what to recommend to user {user}", _curl(f"{path}/recommendations?k=3")
    yield f"why item {ids[0]}", _curl(f"{path}/explanations/{quote(ids[0], safe='')}")
    yield (
        f"a visitor who looked at {' and '.join(ids)}",
        _curl(
            f"{base_url}/v1/recommendations", "-H", "content-type: application/json", "-d", session
        ),
    )


def _curl(url: str, *options: str) -> str:
    return shlex.join(["curl", "-s", url, *options])
