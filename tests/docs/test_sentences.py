"""README, the tutorial and the how-tos are written in short sentences."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = [PROJECT / "README.md", DOCS / "tutorial.md", *sorted(DOCS.glob("how-to/*.md"))]
MOST_WORDS = 30


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs, points of lists and cells of tables, without code and addresses."""
    text = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"^ *(?:[-*]|\d+\.|#+) ", "\n\n", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n|\|", text):
        yield " ".join(paragraph.split())


def sentences(text: str) -> Iterator[str]:
    for paragraph in paragraphs(text):
        yield from re.split(r"(?<=[.!?])[)\"*_]*\s+", paragraph)


def test_sentences_are_told_apart() -> None:
    text = "A [b](c.html) `d e` f.\nG h?\n\n- I j\n- K `l.`.\n```sh\nm n\n```\n| o | p! |"
    assert [each for each in sentences(text) if each] == [
        *("A b code f.", "G h?", "I j", "K code.", "o", "p!")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_sentence_is_long(page: Path) -> None:
    found = [each for each in sentences(page.read_text()) if len(each.split()) > MOST_WORDS]
    assert found == []
