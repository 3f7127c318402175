"""`bench.json`: one flat object of figures, to which each part adds its own.

Knows files; knows nothing about what the figures mean.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def add_figures(path: Path, figures: Mapping[str, float]) -> None:
    """Put figures into the file, keeping those of other parts; it is never half-written.

    Raises:
        ValueError: what is there is not a JSON object.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    if not isinstance(kept, dict):
        raise ValueError(f"{path} is not a JSON object: move it away")
    text = json.dumps(dict(sorted({**kept, **figures}.items())), indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False
    ) as scratch:
        scratch.write(text)
    try:
        os.chmod(scratch.name, 0o644)  # noqa: PTH101  # a scratch file is private
        Path(scratch.name).replace(path)
    except OSError:
        Path(scratch.name).unlink(missing_ok=True)
        raise
