"""Warnings of answers: a code for programs, words for people."""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from typing_extensions import TypedDict

WarningCode = Literal[
    "unknown_user",
    "no_history",
    "unavailable",
    "stale",
    "unusable_session",
    "session_only",
    "popular",
    "unknown_category",
    "unknown_attribute",
    "rule_does_not_fit",
    "shard_away",
    "short",
    "partly_searched",
]


class Warned(NamedTuple):
    """One warning."""

    code: WarningCode
    words: str


class Told(TypedDict):
    """The warnings of an answer."""

    warnings: Annotated[list[str], Field(description="For people, in words that may change")]
    warning_codes: Annotated[
        list[WarningCode], Field(description="For programs: one for each of `warnings`")
    ]


def told(warnings: Iterable[Warned]) -> Told:
    """As an answer has them; of equal ones, the first."""
    each = [*dict.fromkeys(warnings)]
    return Told(warnings=[x.words for x in each], warning_codes=[x.code for x in each])
