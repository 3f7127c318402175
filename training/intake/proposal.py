"""A mapping in the making: what is clear, and what remains to be asked.

Knows questions and TOML; knows nothing about how columns are told apart.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from training.intake.mapping import Mapping, mapping_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a mapping leaves open."""

    table: str
    text: str
    lines: list[str]
    """Of which one is to be written."""
    about_files: bool = False


@dataclass(slots=True, kw_only=True)
class Proposal:
    """What has been found so far."""

    values: dict[str, object] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    @property
    def mapping(self) -> Mapping:
        """The mapping; there must be no questions."""
        assert not self.questions
        return Mapping.model_validate(self.values)

    @property
    def toml(self) -> str:
        """The mapping; lines to choose from are comments."""
        lines = [(x.table, line) for x in self.questions for line in [f"{x.text}:", *x.lines]]
        return mapping_text(self.values, lines)

    def ask(self, table: str, key: str, text: str, values: Sequence[object]) -> None:
        """Leave it to the user which value a key has."""
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for value in values]
        question = Question(table=table, text=text, lines=lines, about_files=key == "files")
        self.questions.append(question)
