"""The numbers of docs/limits.md are those of the code."""

import importlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
ROWS = re.findall(r"^\| ([^|]+) \| ([\d,]+) \| .* \| `([\w.]+)` \|$", PAGE.read_text(), re.M)


def value_of(place: str) -> Any:
    """A constant of a module, or the default of a field of a class in it."""
    parts = place.split(".")
    if parts[-2][0].isupper():
        owner = getattr(importlib.import_module(".".join(parts[:-2])), parts[-2])
        fields = getattr(owner, "model_fields", None)
        return fields[parts[-1]].default if fields else getattr(owner, parts[-1])
    value = getattr(importlib.import_module(".".join(parts[:-1])), parts[-1])
    if isinstance(value, Collection):  # of sizes
        return max(getattr(each, "interactions", each) for each in value)
    return value


def test_every_line_has_a_number_and_its_place() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 2, "a line without a number, or without its place in the code"


@pytest.mark.parametrize(("what", "number", "place"), ROWS)
def test_a_limit_is_that_of_the_code(what: str, number: str, place: str) -> None:
    assert value_of(place) == float(number.replace(",", "")), what
