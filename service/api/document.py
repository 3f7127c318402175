"""The OpenAPI document: FastAPI's, with problems as components and without needless words."""

from typing import Any

from service.http.problems import problem_components

_NO_SCHEMAS = ("default", "example", "examples")


def tidy(document: dict[str, Any], max_k: int) -> None:
    """Change FastAPI's document in place.

    Problems are components that routes refer to; lists have the length that this service allows;
    no title repeats a name.
    """
    components, paths = document["components"], document["paths"]
    for kind, parts in problem_components().items():
        components.setdefault(kind, {}).update(parts)
    bodies = [schema.get("properties", {}) for schema in components["schemas"].values()]
    lengths = [properties["k"] for properties in bodies if "k" in properties]
    for operation in (operation for path in paths.values() for operation in path.values()):
        for response in operation["responses"].values():
            if "$ref" in response:
                response.pop("description")  # FastAPI's words for the status
        parameters = operation.get("parameters", [])
        lengths += [each["schema"] for each in parameters if each["name"] == "k"]
    for length in lengths:
        length["maximum"] = max_k
    ranked = components["schemas"]["ScoreRequest"]["properties"]["items"]
    ranked["maxItems"] = min(ranked["maxItems"], max_k)
    _drop_titles(components)
    _drop_titles(paths)


def _drop_titles(node: Any) -> None:
    """Take the titles from the schemas of a part: "Age Seconds" of `age_seconds` says nothing."""
    if isinstance(node, list):
        for each in node:
            _drop_titles(each)
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):  # a dict is the schema of a field of this name
            del node["title"]
        for name, value in node.items():
            if name not in _NO_SCHEMAS:
                _drop_titles(value)
