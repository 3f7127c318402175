"""The client's shapes beside the committed OpenAPI document."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import magnet_client
from magnet_client import Event, EventType, RecommendationRequest
from service.openapi import breaking_changes

DOCUMENT = json.loads((Path(__file__).parents[4] / "docs" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ANSWERS = [
    shape
    for name in magnet_client.__all__
    if isinstance(shape := getattr(magnet_client, name), type)
    and issubclass(shape, BaseModel)
    and shape is not Event
]
_, READ = models_json_schema(
    [(shape, "validation") for shape in ANSWERS], ref_template="#/components/schemas/{model}"
)


def answering(name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """A document of one operation that answers with a schema."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    operation = {"responses": {"200": {"content": content}}}
    return {"paths": {"/": {"get": operation}}, "components": {"schemas": schemas}}


@pytest.mark.parametrize("shape", ANSWERS, ids=lambda shape: shape.__name__)
def test_whatever_the_document_promises_is_read(shape: type[BaseModel]) -> None:
    """The document breaks nothing that was written for the client's shapes: names and types."""
    name = shape.__name__
    assert not breaking_changes(answering(name, READ["$defs"]), answering(name, SCHEMAS))


def test_a_shape_that_differs_from_the_document_is_found() -> None:
    item = SCHEMAS["RecommendedItem"]
    changes = {"score": {"type": "string"}, "rank": None}
    properties = {**item["properties"], **changes}
    changed = {name: schema for name, schema in properties.items() if schema is not None}
    schemas = SCHEMAS | {"RecommendedItem": item | {"properties": changed}}
    found = breaking_changes(
        answering("Recommendation", READ["$defs"]), answering("Recommendation", schemas)
    )
    assert any("score: number has become string" in line for line in found)
    assert any("rank is gone" in line for line in found)


def test_questions_have_the_names_of_the_api() -> None:
    options = magnet_client.requests.RecommendationOptions.__annotations__.keys()
    assert options | {"user_id"} == SCHEMAS["RecommendationRequest"]["properties"].keys()
    assert RecommendationRequest.__annotations__.keys() == options | {"user_id"}
    assert Event.model_fields.keys() == SCHEMAS["ReportedEvent"]["properties"].keys()
    assert list(get_args(EventType)) == SCHEMAS["ReportedEvent"]["properties"]["type"]["enum"]
