"""What counts as breaking: each rule on the service's own document."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.openapi import breaking_changes, current_document, main

Document = dict[str, Any]
LIST = "POST /v1/recommendations"


@pytest.fixture(scope="module")
def document() -> Document:
    return current_document()


def schemas(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"]
    return found


def request(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = schemas(document)["RecommendationRequest"]
    return found


def item(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = schemas(document)["RecommendedItem"]
    return found


def query(document: Document, name: str) -> dict[str, Any]:
    operation = document["paths"]["/v1/items"]["get"]
    return next(each for each in operation["parameters"] if each["name"] == name)


BREAKING: dict[str, tuple[Callable[[Document], object], str]] = {
    "a path": (lambda d: d["paths"].pop("/v1/score"), "POST /v1/score: gone"),
    "a parameter": (
        lambda d: d["paths"]["/v1/items"]["get"]["parameters"].remove(query(d, "title")),
        "GET /v1/items: query title is gone",
    ),
    "a parameter that is needed": (
        lambda d: query(d, "title").update(required=True),
        "GET /v1/items: query title is now required",
    ),
    "a lower bound": (
        lambda d: query(d, "limit")["schema"].update(maximum=10),
        "GET /v1/items: query limit: maximum was 1000, is 10",
    ),
    "a bound where none was": (
        lambda d: request(d)["properties"]["offset"].update(maximum=5),
        f"{LIST}: body: offset: maximum was unbounded, is 5",
    ),
    "a field of a request": (
        lambda d: request(d)["properties"].pop("diversity"),
        f"{LIST}: body: diversity is gone",
    ),
    "a field that is needed": (
        lambda d: request(d).update(required=["k"]),
        f"{LIST}: body: k is now required",
    ),
    "another type in a request": (
        lambda d: request(d)["properties"]["exclude"]["items"].update(type="integer"),
        f"{LIST}: body: exclude[]: string has become integer",
    ),
    "null in a request": (
        lambda d: request(d)["properties"]["candidates"]["anyOf"].pop(),
        f"{LIST}: body: candidates: null has become array",
    ),
    "a value": (
        lambda d: request(d)["properties"]["explain"]["enum"].remove("full"),
        f"{LIST}: body: explain: 'full' no longer among its values",
    ),
    "a condition": (
        lambda d: request(d)["anyOf"].pop(),
        f"{LIST}: body: is under another condition",
    ),
    "free text": (
        lambda d: query(d, "title")["schema"].update(enum=["Kolya"]),
        "GET /v1/items: query title: is no longer free, but one of ['Kolya']",
    ),
    "a field of an answer": (
        lambda d: (item(d)["properties"].pop("bias"), item(d)["required"].remove("bias")),
        f"{LIST}: answer: 200: items[]: bias is gone",
    ),
    "a field that may be missing": (
        lambda d: item(d)["required"].remove("score"),
        f"{LIST}: answer: 200: items[]: score may now be missing",
    ),
    "another type in an answer": (
        lambda d: item(d)["properties"]["rank"].update(type="number"),
        f"{LIST}: answer: 200: items[]: rank: integer has become number",
    ),
    "null in an answer": (
        lambda d: item(d)["properties"].update(score={"anyOf": [{"type": "number"}, NULL]}),
        f"{LIST}: answer: 200: items[]: score: number has become null",
    ),
    "a good answer": (
        lambda d: d["paths"]["/livez"]["get"]["responses"].pop("200"),
        "GET /livez: answer: 200 is gone",
    ),
}
NULL = {"type": "null"}


@pytest.mark.parametrize("case", BREAKING)
def test_what_breaks_clients_is_named(case: str, document: Document) -> None:
    change, line = BREAKING[case]
    after = copy.deepcopy(document)
    change(after)
    assert line in breaking_changes(document, after)


ADDITIONS: dict[str, Callable[[Document], object]] = {
    "nothing": lambda d: None,
    "a path": lambda d: d["paths"].update({"/v2": d["paths"]["/livez"]}),
    "a field of a request": lambda d: request(d)["properties"].update(more={"type": "string"}),
    "a wider bound": lambda d: query(d, "limit")["schema"].update(maximum=10_000, minimum=0),
    "a type in a request": lambda d: request(d)["properties"]["k"].update(type="number"),
    "a choice in a request": lambda d: request(d)["properties"]["explain"]["enum"].append("x"),
    "a field of an answer": lambda d: item(d)["properties"].update(more={"type": "string"}),
    "a field that every answer has": lambda d: (
        item(d)["properties"].update(more={"type": "string"}),
        item(d)["required"].append("more"),
    ),
    "a value in an answer": lambda d: item(d)["properties"]["source"]["enum"].append("x"),
    "other words": lambda d: item(d).update(description="Different."),
}


@pytest.mark.parametrize("case", ADDITIONS)
def test_additions_break_nothing(case: str, document: Document) -> None:
    after = copy.deepcopy(document)
    ADDITIONS[case](after)
    assert breaking_changes(document, after) == []


def test_schemas_that_hold_themselves() -> None:
    def tree(kind: str) -> Document:
        node = {"$ref": "#/components/schemas/Node"}
        body = {"content": {"application/json": {"schema": node}}}
        return {
            "paths": {"/tree": {"post": {"requestBody": body, "responses": {"200": body}}}},
            "components": {
                "schemas": {"Node": {"properties": {"child": node, "name": {"type": kind}}}}
            },
        }

    assert breaking_changes(tree("string"), tree("string")) == []
    assert breaking_changes(tree("string"), tree("integer")) == [
        "POST /tree: answer: 200: name: string has become integer",
        "POST /tree: body: name: string has become integer",
    ]


def test_the_committed_document_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().err


def test_additions_are_taken_over_and_the_rest_on_demand(
    tmp_path: Path, document: Document, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "openapi.json"
    older = copy.deepcopy(document)
    del older["paths"]["/v1/score"]
    file.write_text(json.dumps(older))
    assert main(["--file", str(file)]) == 1
    assert "python -m service.openapi --write" in capsys.readouterr().err
    assert main(["--file", str(file), "--write"]) == 0
    assert json.loads(file.read_text()) == document

    other = copy.deepcopy(document)
    other["paths"]["/v1/gone"] = other["paths"]["/livez"]
    file.write_text(json.dumps(other))
    assert main(["--file", str(file), "--write"]) == 1
    assert "breaks clients: GET /v1/gone: gone" in capsys.readouterr().err
    assert json.loads(file.read_text()) == other
    assert main(["--file", str(file), "--write", "--breaking"]) == 0
    assert json.loads(file.read_text()) == document
