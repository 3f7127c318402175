"""The table of faults in docs/operations.md: every line has a test, and it exists."""

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SECTION = re.compile(r"^## Faults and what they cost$(.*?)^## ", re.MULTILINE | re.DOTALL)


def rows() -> list[list[str]]:
    found = SECTION.search((PROJECT / "docs" / "operations.md").read_text())
    assert found is not None
    lines = [line for line in found[1].splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_fault_says_what_it_costs_and_has_a_test() -> None:
    assert len(rows()) > 25
    for row in rows():
        assert len(row) == 5, row
        assert all(row), row
        path, _, name = row[-1].strip("`").partition("::")
        module = ast.parse((PROJECT / path).read_text())
        tests = {each.name for each in module.body if isinstance(each, ast.FunctionDef)}
        assert name in tests, f"there is no {row[-1]}"


def test_no_fault_is_listed_twice() -> None:
    faults = [row[0] for row in rows()]
    assert len({*faults}) == len(faults)
