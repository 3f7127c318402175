"""Ids that look like a part of a path, in every route that takes one: its own, or refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from magnet_client import Client
from model.artifact.manifest import TensorSpec
from model.artifact.tables import IdTable, StringTable

ODD = [
    "a/b",
    "/",
    "a//b/",
    "%2F",
    "a%2fb",
    "100%",
    "%",
    "%252F",
    "a/similar",
    "a/availability",
    "a/recommendations",
    "recommendations",
    "explanations",
    "a/explanations/b",
    "/explanations/",
    "bulk",
    "a:bulk",
    "events",
    "explain",
    "similar",
    "a.b",
    ".a",
    "...",
    "a/../b",
    "a/./b",
    "a?b#c;d",
    "a b\n",
    ".",
    "..",
]


@pytest.fixture(scope="module")
def odd_artifact(make_artifact) -> Any:
    """A model whose first users and items have these ids."""
    artifact = make_artifact("v1", 1)
    manifest, arrays = artifact.manifest, {}
    for name, count in (("user_ids", manifest.num_users), ("item_ids", manifest.num_items)):
        ids = sorted([*ODD, *(f"z{place:03d}" for place in range(count - len(ODD)))])
        table = IdTable.of(ids)
        arrays |= {f"{name}_blob": table.blob, f"{name}_offsets": table.offsets}
    table = StringTable.of(json.dumps({"title": f"Title of {item}"}) for item in ids)
    arrays |= {"item_metadata_blob": table.blob, "item_metadata_offsets": table.offsets}
    specs = {name: TensorSpec.of(array) for name, array in arrays.items()}
    manifest = manifest.model_copy(update={"tensors": manifest.tensors | specs})
    return replace(artifact, manifest=manifest, tensors=artifact.tensors | arrays)


@pytest.fixture
def odd(redis_url, odd_artifact, publish, serving, following, until) -> Iterator[Any]:
    publish(redis_url, odd_artifact)
    with serving(following()) as service:
        until(service.ready)
        yield service


def templates(service: Any) -> Iterator[tuple[str, str]]:
    """Method and path of every route with ids."""
    for path, operations in service.get("/openapi.json").json()["paths"].items():
        if "{user_id}" in path or "{item_id}" in path:
            yield from ((method.upper(), path) for method in operations)


BODIES = {
    ("PUT", "/v1/items/{item_id}"): {"title": "Put"},
    ("PATCH", "/v1/items/{item_id}"): {"title": "Patched"},
    ("PUT", "/v1/items/{item_id}/availability"): {"available": True},
}
ORDER = ("GET", "PATCH", "PUT", "DELETE")


def test_every_route_takes_every_id(odd: Any) -> None:
    routes = sorted(templates(odd), key=lambda route: (ORDER.index(route[0]), route))
    assert len(routes) >= 10
    for method, template in routes:
        for place, each in enumerate(ODD):
            other = ODD[place - 1]
            ids = {"user_id": each, "item_id": other if "{user_id}" in template else each}
            path = template
            for name, value in ids.items():
                encoded = quote(value, safe="").replace(".", "%2E")
                path = path.replace(f"{{{name}}}", encoded)
            answer = odd.request(method, path, json=BODIES.get((method, template)))
            assert answer.is_success, (method, path, answer.text)
            told = answer.json()
            for name in ids:
                if name in told and f"{{{name}}}" in template:
                    assert told[name] == ids[name], (method, path, told)


def test_what_a_plain_slash_can_name(odd: Any) -> None:
    """Proxies may decode a path: a slash is a part of an id where no other route is meant."""
    assert odd.get("/v1/items/a/b").json()["item_id"] == "a/b"
    assert odd.get("/v1/users/a/b/recommendations").json()["user_id"] == "a/b"
    assert odd.get("/v1/items/a/similar").status_code == 404  # of item a, which there is not
    assert odd.get("/v1/items/a%2Fsimilar").json()["item_id"] == "a/similar"
    assert odd.get("/v1/items//similar").status_code == 422
    assert odd.get("/v1/users//recommendations").status_code == 422


def test_the_client_names_all(odd: Any) -> None:
    with Client(str(odd.base_url), trust_env=False) as client:
        for each in ODD:
            assert client.item(each).title == f"Title of {each}"
            assert client.similar(each).item_id == each
            assert client.user(each).user_id == each
