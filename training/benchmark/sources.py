"""The source code that a module runs: its own file and those of ours that it imports, all the way.

Knows files and import statements; knows nothing about what they do.
"""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("model", "training")


def sources_digest(*modules: str) -> str:
    """A checksum that changes whenever code does that one of the modules runs."""
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in found or path is None:
            continue
        found[name] = path.read_bytes()
        waiting += _imports(ast.parse(found[name]))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode())
        digest.update(found[name])
    return digest.hexdigest()


def _imports(tree: ast.Module) -> Iterable[str]:
    """Names that may be modules of ours; what is imported from one may be one too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _path(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] not in _PACKAGES:
        return None
    plain = _ROOT.joinpath(*parts).with_suffix(".py")
    package = _ROOT.joinpath(*parts, "__init__.py")
    return next((path for path in (plain, package) if path.is_file()), None)
