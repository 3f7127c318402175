"""Checks and writes docs/openapi.json, the OpenAPI document, and names changes that break clients.

    python -m service.openapi                       does the file agree with the code?
    python -m service.openapi --write               write additions to the file
    python -m service.openapi --write --breaking    write changes that break clients too

A valid request has to stay valid. An answer has to keep its properties and their types; new
properties and new values of an enumeration are additions.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.app import create_app
from service.ops.settings import Settings

Schema = dict[str, Any]

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"
_LEAST, _MOST = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")
_ANYTHING: Schema = {}


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """One line for each change from `before` to `after` that can break a client."""
    return sorted(set(_changes(before, after)))


def _changes(before: Schema, after: Schema) -> Iterator[str]:
    for path, methods in before["paths"].items():
        for method, old in methods.items():
            place = f"{method.upper()} {path}"
            new = after["paths"].get(path, {}).get(method)
            if new is None:
                yield f"{place}: gone"
                continue
            asked = _Comparison(inner=before, outer=after, answers=False)
            yield from asked.faults(_request(old), _request(new), place)
            told = _Comparison(inner=after, outer=before, answers=True)
            yield from told.faults(_answer(new), _answer(old), f"{place}: answer")


def _request(operation: Schema) -> Schema:
    """Parameters and body of an operation as one object."""
    parameters = operation.get("parameters", [])
    properties = {f"{each['in']} {each['name']}": each["schema"] for each in parameters}
    required = [f"{each['in']} {each['name']}" for each in parameters if each.get("required")]
    if body := operation.get("requestBody"):
        properties["body"] = _content(body)
        required += ["body"] if body.get("required") else []
    return {"type": "object", "properties": properties, "required": required}


def _answer(operation: Schema) -> Schema:
    """The bodies of an operation's 2xx answers, by status, as one object."""
    responses = operation["responses"].items()
    properties = {status: _content(each) for status, each in responses if status.startswith("2")}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(holder: Schema) -> Schema:
    (media,) = list(holder.get("content", {}).values()) or [_ANYTHING]
    schema: Schema = media.get("schema", _ANYTHING)
    return schema


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Checks that every value of a schema in `inner` is a value of the one in `outer`."""

    inner: Schema
    outer: Schema
    answers: bool
    """Whether answers are compared: they may get additions."""
    open_pairs: set[tuple[str, str]] = field(default_factory=set)
    """References being compared; where they contain themselves they count as equal."""

    def faults(self, inner: Schema, outer: Schema, place: str) -> Iterator[str]:
        """What `inner` allows and `outer` does not."""
        pair = (inner.get("$ref", ""), outer.get("$ref", ""))
        if all(pair) and pair in self.open_pairs:
            return
        self.open_pairs.add(pair)
        yield from self._of_resolved(
            _resolved(inner, self.inner), _resolved(outer, self.outer), place
        )
        self.open_pairs.discard(pair)

    def _of_resolved(self, inner: Schema, outer: Schema, place: str) -> Iterator[str]:
        if len(_options(inner)) > 1 or len(_options(outer)) > 1:
            yield from self._of_options(_options(inner), _options(outer), place)
        elif outer:
            yield from self._of_values(inner, outer, place)
            yield from self._of_properties(inner, outer, place)
            for name in ("items", "additionalProperties"):
                if isinstance(inner.get(name), dict) and isinstance(outer.get(name), dict):
                    yield from self.faults(inner[name], outer[name], f"{place}[]")

    def _of_options(
        self, inner: Sequence[Schema], outer: Sequence[Schema], place: str
    ) -> Iterator[str]:
        for option in inner:
            tried = [list(self.faults(option, other, place)) for other in outer]
            if all(tried):
                yield min(tried, key=len)[0]

    def _of_values(self, inner: Schema, outer: Schema, place: str) -> Iterator[str]:
        if "type" in outer and not _fits(inner.get("type"), outer["type"]):
            was, now = (outer, inner) if self.answers else (inner, outer)
            yield f"{place}: {was.get('type', 'anything')} has become {now.get('type', 'anything')}"
            return
        if not self.answers:
            if lost := [value for value in _values(inner) if value not in _values(outer)]:
                yield f"{place}: {', '.join(map(repr, lost))} no longer among its values"
            elif _values(outer) and not _values(inner):
                yield f"{place}: is no longer free, but one of {_values(outer)}"
            if "type" in outer and "anyOf" in outer and inner.get("anyOf") != outer["anyOf"]:
                yield f"{place}: is under another condition"
        for name in (*_LEAST, *_MOST, "pattern"):
            if name in outer and not _bounded(name, inner.get(name), outer[name]):
                yield f"{place}: {name} was {inner.get(name, 'unbounded')}, is {outer[name]}"

    def _of_properties(self, inner: Schema, outer: Schema, place: str) -> Iterator[str]:
        ours, theirs = inner.get("properties", {}), outer.get("properties", {})
        before, after = (theirs, ours) if self.answers else (ours, theirs)
        for name in before.keys() - after.keys():
            yield f"{place}: {name} is gone"
        for name in before.keys() & after.keys():
            yield from self.faults(ours[name], theirs[name], f"{place}: {name}")
        for name in set(outer.get("required", ())) - set(inner.get("required", ())):
            if name in ours or not self.answers:
                verb = "may now be missing" if self.answers else "is now required"
                yield f"{place}: {name} {verb}"


def _resolved(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _options(schema: Schema) -> list[Schema]:
    """The alternatives; `anyOf` beside a type is a further condition instead."""
    options: list[Schema] = [schema] if "type" in schema else schema.get("anyOf", [schema])
    return options


def _fits(inner: str | None, outer: str) -> bool:
    return inner == outer or (inner, outer) == ("integer", "number")


def _values(schema: Schema) -> list[Any]:
    values: list[Any] = schema.get("enum", [])
    return [schema["const"]] if "const" in schema else values


def _bounded(name: str, inner: Any, outer: Any) -> bool:
    """Whether `outer` allows what `inner` allows by this keyword."""
    if inner is None or name == "pattern":
        return bool(inner == outer)
    return bool(outer <= inner if name in _LEAST else outer >= inner)


def current_document() -> dict[str, Any]:
    """The document of this code."""
    return create_app(Settings()).openapi()


def main(arguments: list[str] | None = None) -> int:
    """0 if the file agrees with the code, or does so now; otherwise 1, with the reason."""
    parser = argparse.ArgumentParser(
        prog="python -m service.openapi",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--write", action="store_true", help="write the file")
    parser.add_argument("--breaking", action="store_true", help="even if that breaks clients")
    parser.add_argument("--file", type=Path, default=DOCUMENT, help="default: docs/openapi.json")
    options = parser.parse_args(arguments)
    before = json.loads(options.file.read_text()) if options.file.exists() else {"paths": {}}
    after = current_document()
    broken = breaking_changes(before, after)
    for line in broken:
        sys.stderr.write(f"breaks clients: {line}\n")
    if broken and not options.breaking:
        sys.stderr.write("keep what clients rely on beside what is new, or add --breaking\n")
        return 1
    if options.write:
        options.file.write_text(json.dumps(after, indent=1, sort_keys=True) + "\n")
    elif before != after:
        sys.stderr.write("there are additions: python -m service.openapi --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
