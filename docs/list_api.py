"""Writes docs/reference/api.md from the service's own OpenAPI document.

python docs/list_api.py
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from service.app import create_app
from service.ops.settings import Settings

PAGE = Path(__file__).parent / "reference" / "api.md"
_INTRODUCTION = """# HTTP API

Written by `python docs/list_api.py` from the OpenAPI document, which a running service shows at
`/openapi.json`, and at `/docs` to try out. Bad input gets an
[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem that says what is wrong. Which key opens
what: [Access](../configuration.md#access).
"""


def page() -> str:
    """The whole page."""
    document = create_app(Settings()).openapi()
    operations = [
        (operation["tags"][0], f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    every = set.intersection(
        *(set(each["responses"]) for _, title, each in operations if " /v1/" in title)
    )
    parts = [_INTRODUCTION, _problems(every, [each for *_, each in operations], document)]
    for tag, group in groupby(operations, key=lambda entry: entry[0]):
        parts.append(f"## {tag.capitalize()}\n")
        for _, title, operation in group:
            parts += [f"### `{title}`\n", f"{_text(operation['description'])}\n"]
            parts += _parameters(operation, document)
            parts.append(_answers(operation["responses"], every))
    parts.append("## Bodies\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        rows = [
            (f"`{field}`", _type(spec), _text(spec.get("description", "")))
            for field, spec in schema.get("properties", {}).items()
        ]
        parts += [f"### {name}\n", f"{_text(schema.get('description', ''))}\n"]
        if rows:
            parts.append(_table(("field", "type", ""), rows))
    return "\n".join(parts)


def _problems(
    every: Collection[str], operations: Iterable[dict[str, Any]], document: dict[str, Any]
) -> str:
    """What the status of a problem says, and which ones every call below /v1 may have."""
    texts: dict[str, list[str]] = {}
    for operation in operations:
        for status, response in operation["responses"].items():
            if "$ref" in response:
                name = response["$ref"].rsplit("/", 1)[1]
                text = _text(document["components"]["responses"][name]["description"])
                texts.setdefault(status, [])
                if text not in texts[status]:
                    texts[status].append(text)
    rows = [(status, ". ".join(texts[status])) for status in sorted(texts)]
    return (
        f"Any call below `/v1` may be answered by {', '.join(sorted(every))}. Others are named "
        "with their calls. There a query parameter that a call does not have is 422, and so is one "
        "that is given twice, unless it is a list. A body in which an object has one name twice is "
        "422. `HEAD` is answered wherever `GET` is.\n\n"
        f"{_table(('status', 'when'), rows)}"
    )


def _answers(responses: dict[str, Any], every: Collection[str]) -> str:
    """What a call answers, and its problems beside those of every call."""
    good = []
    for status in sorted(status for status in responses if status < "300"):
        schemas = [
            f" with {_type(body['schema'])}" if "schema" in body else f" as `{media}`"
            for media, body in responses[status].get("content", {}).items()
        ]
        good.append(f"{status}{''.join(schemas)}")
    bad = sorted(set(responses) - set(every)) if set(every) <= set(responses) else responses
    problems = [status for status in bad if status >= "300"]
    return f"Answers {' or '.join(good)}{'; also ' * bool(problems)}{', '.join(problems)}.\n"


def _parameters(operation: dict[str, Any], document: dict[str, Any]) -> list[str]:
    parts = []
    rows = [
        (
            f"`{parameter['name']}` ({parameter['in']})",
            _type(parameter["schema"]),
            _text(parameter.get("description", parameter["schema"].get("description", ""))),
        )
        for parameter in operation.get("parameters", [])
    ]
    if rows:
        parts.append(_table(("parameter", "type", ""), rows))
    content = operation.get("requestBody", {}).get("content", {})
    for media, body in content.items():
        if "$ref" not in body["schema"]:
            parts.append(f"Body, `{media}`: {_text(body['schema']['description'])}.\n")
            continue
        name = body["schema"]["$ref"].rsplit("/", 1)[1]
        assert name in document["components"]["schemas"]
        parts.append(f"Body: [{name}](#{name.lower()}).\n")
    return parts


def _type(spec: dict[str, Any]) -> str:
    """A schema in a few words: its type, limits and default."""
    if "$ref" in spec:
        name = spec["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in spec:
        base = " or ".join(_type(choice) for choice in spec["anyOf"])
    elif spec.get("type") == "array":
        base = f"list of {_type(spec['items'])}"
    elif "enum" in spec:
        base = " or ".join(f"`{value}`" for value in spec["enum"])
    elif "const" in spec:
        base = f"`{spec['const']}`"
    else:
        base = spec.get("type", "any")
    limits = [
        f"{word} {spec[key]:g}"
        for key, word in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("maxItems", "at most"),
            ("maxLength", "at most"),
        )
        if key in spec
    ]
    default = [f"default `{spec['default']}`"] if "default" in spec else []
    return ", ".join([base, *limits, *default])


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _text(description: str) -> str:
    return " ".join(description.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
