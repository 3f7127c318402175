"""Writes the picture of the tree into docs/architecture.md, and prints how large the code is.

python docs/draw_tree.py
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tabulate import tabulate

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
PACKAGES = ("service", "model", "training", "deploy")
PRODUCT = (*PACKAGES, "client")
START, END = "<!-- tree start -->", "<!-- tree end -->"
_MOST_LINES = 600


def picture() -> str:
    """Every package down to two levels with its first sentence, as one block of text."""
    lines = [line for name in PACKAGES for line in _package(PROJECT / name, 0)]
    width = max(len(name) for name, _ in lines)
    return "\n".join(["```text", *(f"{name:<{width}}  {what}" for name, what in lines), "```"])


def _package(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    yield f"{'  ' * depth}{folder.name}/", docstring.partition("\n")[0]
    if depth < 2:
        for inside in sorted(folder.glob("*/__init__.py")):
            yield from _package(inside.parent, depth + 1)


def page() -> str:
    """The page with today's picture between its markers."""
    before, rest = PAGE.read_text().split(START)
    return f"{before}{START}\n{picture()}\n{END}{rest.split(END)[1]}"


def figures() -> dict[str, float]:
    """Sizes of the product's code, and in how many files each of three ideas stands."""
    files = {path: path.read_text() for name in PRODUCT for path in PROJECT.glob(f"{name}/**/*.py")}
    lengths = [len(text.splitlines()) for text in files.values()]
    return {
        "Python files of the product": len(files),
        "lines of it": sum(lengths),
        "lines of the median file": median(lengths),
        f"files over {_MOST_LINES} lines": sum(length > _MOST_LINES for length in lengths),
        "files directly in service/": len(list(PROJECT.glob("service/*.py"))),
        "files directly in training/": len(list(PROJECT.glob("training/*.py"))),
        "files that open an ONNX session of a model": _naming(
            files, r"\bInferenceSession\(", "encode"
        ),
        "files that assemble a manifest": _naming(
            files, r"(?<!class )\bArtifactManifest(\.model_validate)?\("
        ),
    }


def _naming(files: dict[Path, str], pattern: str, but: str = "") -> int:
    """In how many files a pattern is found, those directly in a folder `but` left out."""
    return sum(
        re.search(pattern, text) is not None
        for path, text in files.items()
        if path.parent.name != but
    )


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(tabulate(figures().items(), tablefmt="github") + "\n")
