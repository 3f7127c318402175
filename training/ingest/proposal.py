"""A mapping in the making: what is settled, what is asked, and what is left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from training.ingest.mapping import Mapping, key_lines, mapping_text

Columns = dict[str, object]
"""Keys of one table of the mapping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a mapping leaves open."""

    table: str
    text: str
    answers: Sequence[Columns]
    """The keys of one of them are to be written into the mapping; the likeliest comes first."""

    @property
    def lines(self) -> list[str]:
        """The answers as TOML."""
        return ["\n".join(key_lines(answer)) for answer in self.answers]

    @property
    def about_files(self) -> bool:
        """Whether the rest of the mapping depends on the answer."""
        return "files" in self.answers[0]


@dataclass(slots=True, kw_only=True)
class Proposal:
    """A mapping in the making."""

    values: dict[str, object] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    unread: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each table, columns that look relevant but cannot be read, and why."""
    notes: list[str] = field(default_factory=list)
    """What is not used, and why; for the summary."""

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
        """Ask which of some values a key has."""
        self.ask_for(table, text, [{key: value} for value in values])

    def ask_for(self, table: str, text: str, answers: Sequence[Columns]) -> None:
        """Ask which of some keys and values are meant."""
        self.questions.append(Question(table=table, text=text, answers=answers))

    def ask_about_unread(self) -> None:
        """Ask about all columns at once that look meant and cannot be read."""
        for table, why in self.unread.items():
            text = (
                f"{'; '.join(why.values())}. Correct the file or name another column; to go without"
            )
            self.ask_for(table, text, [{"unused": list(why)}])

    def settle(self) -> list[str]:
        """Answer every question but those about files by its first answer; returns the lines."""
        settled = [question for question in self.questions if not question.about_files]
        for question in settled:
            table = self.values.setdefault(question.table, {})
            assert isinstance(table, dict)
            table |= question.answers[0]
        self.questions = [question for question in self.questions if question.about_files]
        return [f"[{question.table}] {question.lines[0]}" for question in settled]
