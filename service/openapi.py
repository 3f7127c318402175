"""Writes the OpenAPI document to docs/openapi.json, and says what a change of it would break.

    python -m service.openapi              is the committed document that of this code?
    python -m service.openapi --write      take additions over
    python -m service.openapi --write --breaking    and what breaks clients, if it has to be

Knows where the document lies; knows nothing about any route.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from service.api_changes import breaking_changes
from service.app import create_app
from service.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def current_document() -> dict[str, Any]:
    """The document of this code."""
    return create_app(Settings()).openapi()


def main(arguments: list[str] | None = None) -> int:
    """0 if the file is as the code, or was made so; 1 with what is in the way if not."""
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
