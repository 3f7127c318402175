import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
EVERYWHERE = {"job", "instance"}


@dataclass
class Catalogue:
    """Series names with their labels, as docs/configuration.md promises them.

    tests/service/api/test_operations.py holds that page to what the service exports.
    """

    labels: dict[str, set[str]] = field(default_factory=lambda: {"up": set(EVERYWHERE)})

    @classmethod
    def documented(cls) -> "Catalogue":
        catalogue = cls()
        text = (PROJECT / "docs" / "configuration.md").read_text()
        rows = re.findall(r"^\| `(magnet_\w+)` \| (\w+) \| ([^|]*)\|", text, re.MULTILINE)
        for name, kind, labels in rows:
            own = EVERYWHERE | set(re.findall(r"`(\w+)`", labels))
            if kind == "histogram":
                catalogue.labels |= {f"{name}_sum": own, f"{name}_count": own}
                catalogue.labels[f"{name}_bucket"] = own | {"le"}
            else:
                catalogue.labels[name] = own
        return catalogue

    def faults(self, expression: str) -> list[str]:
        """What an expression asks for and nobody exports."""
        found = []
        known: set[str] = set()
        for name, selector in re.findall(r"\b(magnet_\w+|up)\b(?:\{([^}]*)\})?", expression):
            if name not in self.labels:
                found.append(f"no metric {name}")
                continue
            known |= self.labels[name]
            asked = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
            found += [f"{name} has no label {each}" for each in asked if each not in known]
        if known:
            grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
            asked = {each.strip() for group in grouped for each in group.split(",")} - {""}
            found += [f"no label {each} to group by" for each in sorted(asked - known)]
        return found


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue.documented()


@pytest.fixture(scope="session")
def promtool() -> Callable[..., None]:
    """Runs promtool; what it finds wrong fails the test."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian, Ubuntu: apt install prometheus)")

    def run(*arguments: str | Path) -> None:
        done = subprocess.run(
            [program, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run
