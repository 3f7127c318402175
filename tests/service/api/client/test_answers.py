"""The client's shapes beside the committed OpenAPI document."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import magnet_client
from magnet_client import Event, EventType, RecommendationRequest

DOCUMENT = json.loads((Path(__file__).parents[4] / "docs" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ANSWERS = [
    shape
    for name in magnet_client.__all__
    if isinstance(shape := getattr(magnet_client, name), type)
    and issubclass(shape, BaseModel)
    and shape is not Event
]


@pytest.mark.parametrize("shape", ANSWERS, ids=lambda shape: shape.__name__)
def test_what_an_answer_needs_is_promised(shape: type[BaseModel]) -> None:
    promised = SCHEMAS[shape.__name__]
    needed = {name for name, field in shape.model_fields.items() if field.is_required()}
    always = set(promised.get("required", ())) | {
        name for name, schema in promised["properties"].items() if "default" in schema
    }
    assert needed <= always | nullable(promised)
    assert shape.model_fields.keys() <= promised["properties"].keys()


def nullable(schema: dict[str, Any]) -> set[str]:
    """The service writes properties that are null, though the document need not say so."""
    return {
        name
        for name, each in schema["properties"].items()
        if {"type": "null"} in each.get("anyOf", ())
    }


def test_questions_have_the_names_of_the_api() -> None:
    assert RecommendationRequest.__annotations__.keys() <= (
        SCHEMAS["RecommendationRequest"]["properties"].keys()
    )
    options = magnet_client.calls.RecommendationOptions.__annotations__.keys()
    assert options | {"user_id"} == SCHEMAS["RecommendationRequest"]["properties"].keys()
    assert Event.model_fields.keys() == SCHEMAS["ReportedEvent"]["properties"].keys()
    assert list(get_args(EventType)) == SCHEMAS["ReportedEvent"]["properties"]["type"]["enum"]
