"""Writes docs/reference/glossary.md from the words that the page explains.

python docs/list_terms.py
"""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
TERMS = ROOT / "service" / "web" / "terms.json"
PAGE = ROOT / "docs" / "reference" / "glossary.md"
_INTRODUCTION = """# Glossary

The words of this project, as the page explains them: underlined words there open their meaning.
Written by `python docs/list_terms.py` from `service/web/terms.json`. How the parts work together:
[architecture](../architecture.md).
"""


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for section, terms in json.loads(TERMS.read_text()).items():
        rows = [f"| **{word}** | {meaning} |" for word, meaning in terms.items()]
        parts.append("\n".join([f"## {section}\n", "| | |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
