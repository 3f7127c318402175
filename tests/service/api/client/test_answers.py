"""The client's shapes beside the committed OpenAPI document."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, create_model
from pydantic.json_schema import models_json_schema

import magnet_client
from magnet_client import Event, EventType, RecommendationRequest, UsersResponse
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


def newly_required(schemas: dict[str, Any], shapes: list[type[BaseModel]] = ANSWERS) -> list[str]:
    """Fields that the client insists on and that answers of some service do not have."""
    return [
        f"{shape.__name__}.{name}"
        for shape in shapes
        if shape.__name__ in schemas
        for name, field in shape.model_fields.items()
        if field.is_required() and name not in schemas[shape.__name__]["properties"]
    ]


def released() -> dict[str, Any]:
    """The document of the latest release."""
    git = shutil.which("git")
    assert git is not None
    try:
        tag = _of_git(git, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
        return dict(json.loads(_of_git(git, "show", f"{tag}:docs/openapi.json")))
    except subprocess.CalledProcessError:
        pytest.skip("nothing was released yet, or this clone has no tags")


def _of_git(git: str, *words: str) -> str:
    folder = Path(__file__).parent
    done = subprocess.run([git, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_answers_of_the_latest_release_are_read() -> None:
    """What came later has a default: a client may be newer than its service."""
    assert not newly_required(released()["components"]["schemas"])


def test_a_field_that_an_older_service_lacks_needs_a_default() -> None:
    with_default = create_model("UsersResponse", __base__=UsersResponse, later=(str, ""))
    without = create_model("UsersResponse", __base__=UsersResponse, later=(str, ...))
    assert newly_required(SCHEMAS, [with_default]) == []
    assert newly_required(SCHEMAS, [without]) == ["UsersResponse.later"]


def test_questions_have_the_names_of_the_api() -> None:
    options = magnet_client.requests.RecommendationOptions.__annotations__.keys()
    assert options | {"user_id"} == SCHEMAS["RecommendationRequest"]["properties"].keys()
    assert RecommendationRequest.__annotations__.keys() == options | {"user_id"}
    assert Event.model_fields.keys() == SCHEMAS["ReportedEvent"]["properties"].keys()
    assert list(get_args(EventType)) == SCHEMAS["ReportedEvent"]["properties"]["type"]["enum"]
