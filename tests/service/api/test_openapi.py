"""The OpenAPI document: complete, its examples work, and the service keeps to it."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from model.artifact.files import Artifact
from model.artifact.manifest import TensorSpec
from model.artifact.tables import IdTable
from model.network.config import BEHAVIOUR
from service.api import (
    admin,
    catalogue,
    erasures,
    experiments,
    health,
    items,
    recommend,
    reports,
    rules,
)
from service.app import MOST_STREAMS
from service.auth.keys import SCOPES, ApiKey

VERSION, CANDIDATE = "20260101-120000-1a2b3c4d", "20260102-120000-5e6f7a8b"
EXAMPLES = 15
"""Random requests for each operation, beside those that its examples and bounds suggest."""
RESOURCES = (
    *(recommend, catalogue, rules, admin, health, items),
    *(experiments, erasures, reports),
)
BIN = Path(sys.executable).parent
FUZZ = Path(__file__).with_name("fuzz.toml")


def with_ids_of_the_document(artifact: Artifact) -> Artifact:
    """The same artifact, its first users and items named as in the examples."""
    tensors, specs = dict(artifact.tensors), dict(artifact.manifest.tensors)
    for kind, named in (("user", ["196"]), ("item", ["242", "302", "50", "172", "1"])):
        table = IdTable(tensors[f"{kind}_ids_blob"], tensors[f"{kind}_ids_offsets"])
        renamed = IdTable.of([*sorted(named), *list(table)[len(named) :]])
        for part, array in (("blob", renamed.blob), ("offsets", renamed.offsets)):
            name, data = f"{kind}_ids_{part}", np.asarray(array)
            tensors[name] = data
            specs[name] = TensorSpec.of(data)
    manifest = artifact.manifest.model_copy(update={"tensors": specs})
    return Artifact(manifest=manifest, tensors=tensors, files=artifact.files)


@pytest.fixture
def client(redis_url, valkey_server, make_artifact, reported, publish, serving, following, until):
    """A service behind a key that opens everything, with what the examples name."""
    for version in (CANDIDATE, VERSION):
        publish(redis_url, with_ids_of_the_document(reported(make_artifact(version, 1))))
    with valkey_server.client() as redis:
        redis.zadd("mg:{default}:versions", {VERSION: 1, CANDIDATE: 2})
    key, secret = ApiKey.new("everything", SCOPES)
    with serving(following(keys=key.line(), key_requests_per_second=1e6, max_k=50)) as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        until(client.ready)
        yield client


@pytest.fixture
def document(client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def bodies(document: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    """The examples of an operation's body; [None] if it has none, text if that is no JSON."""
    if "requestBody" not in operation:
        return [None]
    content = operation["requestBody"]["content"]
    if "application/json" not in content:
        (media,) = content.values()
        return [media["example"]]
    reference = content["application/json"]["schema"]["$ref"]
    examples: list[Any] = document["components"]["schemas"][reference.split("/")[-1]]["examples"]
    return examples


def assert_as_documented(method: str, template: str, answer) -> None:
    """Every property is documented and every documented one is there, of the very type."""
    (shape,) = (
        route.response_model
        for resource in RESOURCES
        for route in resource.router.routes
        if isinstance(route, APIRoute) and route.path_format == template and method in route.methods
    )
    if shape is None:  # /metrics
        return
    adapter = TypeAdapter(shape)
    as_told = adapter.validate_json(answer.content, strict=True)
    assert answer.json() == adapter.dump_python(as_told, mode="json"), template


def path_of(template: str, operation: dict[str, Any]) -> str:
    """The path with the ids of the examples."""
    path = template
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            example = parameter["schema"]["examples"][0]
            path = path.replace(f"{{{parameter['name']}}}", example)
    return path


def is_stream(operation: dict[str, Any]) -> bool:
    return "text/event-stream" in operation["responses"].get("200", {}).get("content", {})


def test_every_example_is_answered(client, document) -> None:
    asked = 0
    for method, template, operation in operations(document):
        path = path_of(template, operation)
        if is_stream(operation):
            with client.stream(method, path) as answer:  # it does not end
                assert next(answer.iter_lines()).startswith("retry: "), path
            asked += 1
            continue
        for body in bodies(document, operation):
            sent = {"content": body} if isinstance(body, str) else {"json": body}
            answer = client.request(method, path, **sent)
            assert answer.status_code in (200, 202), (method, path, body, answer.text)
            assert '"missing_ids":["' not in answer.text, (path, body)
            assert_as_documented(method, template, answer)
            asked += 1
    assert asked >= len(document["paths"])


def test_head_is_get_without_a_body(client, document) -> None:
    """Also of a stream, and of pages, which monitors look at."""
    paths = ["/", "/docs", "/page/page.js", "/nowhere", "/v1/items/gone/similar"]
    paths += [path_of(*each) for method, *each in operations(document) if method == "GET"]
    streams = [path_of(x, each) for _, x, each in operations(document) if is_stream(each)]
    for path in paths:
        head = client.head(path)
        if path not in streams:
            get = client.get(path)
            assert (head.status_code, head.content) == (get.status_code, b""), path
            assert head.headers.keys() == get.headers.keys(), path
    for path in streams * (MOST_STREAMS + 1):  # each gives its place free
        head = client.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"].startswith("text/event-stream")
    assert len(paths) > 20


def test_a_method_that_a_path_does_not_have_is_told_those_that_it_has(client, document) -> None:
    for template, methods in document["paths"].items():
        path = path_of(template, next(iter(methods.values())))
        allowed = {each.upper() for each in methods} | ({"HEAD"} if "get" in methods else set())
        for method in {"HEAD", "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - allowed:
            answer = client.request(method, path)
            assert answer.status_code == 405, (method, path, answer.text)
            assert set(answer.headers["allow"].split(", ")) == allowed, (method, path)


def test_a_name_is_once_in_an_object(client, document) -> None:
    """Every body, also deep within; of two values nobody can know which is meant."""
    tried = 0
    for method, template, operation in operations(document):
        for body in bodies(document, operation):
            text = body if isinstance(body, str) else json.dumps(body)
            for name in dict.fromkeys(re.findall(r'"(\w+)":', text)):
                member = re.search(rf'"{name}": *("[^"]*"|[\w.]+|(?=[\[{{]))', text)
                twice = text.replace(member[0], f'"{name}": 1, {member[0]}', 1)
                path, headers = path_of(template, operation), {"Content-Type": "application/json"}
                answer = client.request(method, path, content=twice, headers=headers)
                assert answer.status_code == 422, (path, twice, answer.text)
                assert f"'{name}' is there 2 times in one object" in answer.json()["detail"]
                tried += 1
    assert tried > 40


def test_a_query_parameter_is_known_and_there_once(client, document) -> None:
    """Every operation of /v1; of two values nobody can know which is meant."""
    tried = set()
    for method, template, operation in operations(document):
        if not template.startswith("/v1/"):
            continue
        path, body = path_of(template, operation), bodies(document, operation)[0]
        sent = {"content": body} if isinstance(body, str) else {"json": body}
        found = [each for each in operation.get("parameters", []) if each["in"] == "query"]
        answer = client.request(method, path, params={"unheard_of": 1}, **sent)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (
            422,
            "query.unheard_of",
        ), (method, path)
        assert all(each["name"] in answer.json()["detail"] for each in found)
        for each in found:
            is_list = each["schema"].get("type") == "array"
            value = each["schema"].get("default") or each["schema"].get("minimum", "x")
            value = "x" if is_list else f"{value}".lower()
            answer = client.request(method, path, params={each["name"]: [value, value]}, **sent)
            assert answer.status_code == (200 if is_list else 422), (method, path, each["name"])
            if not is_list:
                assert "2 times" in answer.json()["detail"], (method, path, each["name"])
            tried.add((is_list, each["name"]))
    assert {(False, "k"), (True, "category"), (False, "prefix"), (False, "cursor")} <= tried


def test_every_operation_says_what_it_does_and_how_it_may_end(document) -> None:
    for method, path, operation in operations(document):
        assert operation["description"], path
        assert operation["tags"], path
        needs_key = path not in ("/livez", "/readyz")
        assert {"401", "403", "429"} <= operation["responses"].keys() or not needs_key, path
        if method != "GET" and "requestBody" in operation:
            assert {"400", "413", "422"} <= operation["responses"].keys(), path
    assert {"bearer"} == {
        scheme["scheme"] for scheme in document["components"]["securitySchemes"].values()
    }


Place = tuple[Any, ...]


def misread(value: object, place: Place = ()) -> Iterator[tuple[Place, object]]:
    """Where a leaf is, and a value that is not of its type but could be taken for one that is."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in pairs:
            yield from misread(each, (*place, name))
        return
    if place[-1] in ("value", "price", "brand", "released"):
        return  # a text, a number or a truth value
    wrong: list[object] = [f"{value}"]
    if isinstance(value, bool):
        wrong = [int(value), str(value).lower(), str(int(value)), "yes"]
    elif isinstance(value, int) and place[-1] not in ("share", "diversity", "points"):
        wrong += [float(value), True, value + 0.5]
    elif isinstance(value, int | float):
        wrong += [True, math.nan, math.inf, -math.inf]
    elif isinstance(value, str):
        wrong = [1, True, 1.5, [value]]
    yield from ((place, each) for each in wrong)


def changed(body: Any, place: Place, value: object) -> Any:
    copy = deepcopy(body)
    inner = copy
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return copy


def test_no_value_is_taken_for_one_of_another_type(client, document) -> None:
    tried = 0
    for method, template, operation in operations(document):
        for body in bodies(document, operation):
            if not isinstance(body, dict):
                continue
            for place, value in misread(body):
                text = json.dumps(changed(body, place, value))
                headers = {"content-type": "application/json"}
                answer = client.request(method, template, content=text, headers=headers)
                assert answer.status_code == 422, (method, template, place, value, answer.text)
                tried += 1
    assert tried > 100


def many(schema: dict[str, Any], given: Any, count: int) -> list[Any]:
    """So many elements, no two of them with the same id or rank; of a modality, always the same."""
    (model,) = given or [schema["items"].get("examples", ["one"])[0]]
    if model == BEHAVIOUR:
        return [model] * count
    if isinstance(model, str):
        return [f"{model}{place}" for place in range(count)]
    return [
        {
            name: place + 1 if name == "rank" else f"x{place}" if name in DISTINCT else value
            for name, value in model.items()
        }
        for place in range(count)
    ]


DISTINCT = ("event_id", "item_id")


def limited(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Where a parameter or a field of the body has a limit: its kind, name, and two values."""
    for parameter in operation.get("parameters", []):
        if (most := parameter["schema"].get("maximum")) is not None:
            yield "query", parameter["name"], most, most + 1
    body = bodies(document, operation)[0]
    if not isinstance(body, dict):
        return
    content = operation["requestBody"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][content["$ref"].split("/")[-1]]
    for name, field in schema["properties"].items():
        alternatives = {
            key: value for each in field.get("anyOf", []) for key, value in each.items()
        }
        each = alternatives | field
        if (most := each.get("maximum")) is not None:
            yield "body", name, most, most + 1
        elif (most := each.get("maxItems")) is not None:
            one = (body.get(name) or ELEMENTS.get(name) or [])[:1]
            yield "body", name, many(each, one, most), many(each, one, most + 1)


ELEMENTS = {
    "filters": [{"attribute": "year", "op": "exists"}],
    "boosts": [{"filters": [{"attribute": "year", "op": "exists"}], "points": 1}],
    "pins": [{"item_id": "1", "rank": 1}],
    "without_modalities": [BEHAVIOUR],
}


def test_every_limit_is_the_documented_one(client, document) -> None:
    tried = set()
    for method, template, operation in operations(document):
        path = template.replace("{user_id}", "196").replace("{item_id}", "242")
        for kind, name, fits, too_much in limited(document, operation):
            statuses = []
            for value in (fits, too_much):
                asked: dict[str, Any] = {"params": {name: value}}
                if kind == "body":
                    asked = {"json": bodies(document, operation)[0] | {name: value}}
                statuses.append(client.request(method, path, **asked).status_code)
            assert statuses[0] in (200, 201, 404, 409), (method, template, name)
            assert statuses[1] == 422, (method, template, name)
            tried.add((template, name))
    assert {("/v1/score", "items"), ("/v1/feedback", "events"), ("/v1/items", "limit")} <= tried
    assert len(tried) > 20


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whatever_is_sent_is_answered_as_documented(client, tmp_path) -> None:
    """All checks of schemathesis over a socket; see `fuzz.toml` for what it may not expect."""
    command = [BIN / "schemathesis", "--config-file", FUZZ, "--no-color", "run"]
    command += [f"{client.base_url}/openapi.json", "--max-examples", str(EXAMPLES)]
    command += ["--header", f"Authorization: {client.headers['Authorization']}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert client.ready()
