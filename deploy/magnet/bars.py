"""A score as a bar of its terms: the bias (popularity), then what each expert adds.

Knows signs and colours, which are the page's; knows nothing about where scores come from.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from magnet_client import ExpertContribution

_WIDTH = 24
"""Characters of the longest bar: with titles and figures a line fits into 100."""
_WIDE = 120
_NAMED = 3
"""Terms of a line: the bias and the two experts that say most; `explain` has all."""
BIAS = "popularity"
_SIGNS = {BIAS: "░", "dominant": "█", "complementary": "▒", "balanced": "▓"}
"""Told apart without colours too."""
_COLOURS = {
    BIAS: "#767c85",
    "dominant": "#0072b2",
    "complementary": "#e69f00",
    "balanced": "#009e73",
}


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a score."""

    name: str
    role: str
    value: float


def terms(bias: float, experts: Sequence[ExpertContribution]) -> list[Term]:
    """The summands of a score, those of no weight left out."""
    parts = [Term(each.name, each.role, each.contribution) for each in experts]
    return [each for each in (Term(BIAS, BIAS, bias), *parts) if each.value != 0]


def longest(lists: Sequence[Sequence[Term]]) -> float:
    """What the longest of some bars stands for."""
    return max((sum(each.value for each in parts if each.value > 0) for parts in lists), default=0)


def bar(parts: Sequence[Term], reach: float) -> Text:
    """The terms above zero, as shares of `reach`; what is below zero is told by the figures."""
    text, drawn, total = Text(), 0, 0.0
    for part in parts:
        total += max(part.value, 0.0)
        end = round(_WIDTH * total / reach) if reach > 0 else 0
        text.append(sign(part.role) * (end - drawn), style=colour(part.role))
        drawn = end
    return text


def figures(parts: Sequence[Term]) -> Text:
    """The first terms in words, each beside its sign, and the sum of the others."""
    text = Text()
    for part in parts[:_NAMED]:
        text.append(sign(part.role), style=colour(part.role))
        text.append(f" {part.name} {part.value:+.2f}  ")
    if rest := parts[_NAMED:]:
        text.append(f"{len(rest)} more {sum(part.value for part in rest):+.2f}")
    text.rstrip()
    return text


def console() -> Console:
    """Standard output, as wide as the terminal; wide enough for a line where it is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def sign(role: str) -> str:
    """The character that a role is drawn with."""
    return _SIGNS.get(role, "▪")


def colour(role: str) -> str:
    """The colour that it has in the page too."""
    return _COLOURS.get(role, "")
