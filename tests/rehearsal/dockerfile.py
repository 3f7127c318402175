"""A Dockerfile as stages with their instructions; reads only the syntax that ours uses."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction: `name` in capitals, and what stands behind it on its (joined) line."""

    name: str
    text: str

    def words(self) -> list[str]:
        """The command of CMD and ENTRYPOINT; ValueError unless it is a JSON list."""
        words: list[str] = json.loads(self.text)
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What `FROM base AS name` begins."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]


def read_stages(path: Path) -> dict[str, Stage]:
    """The stages of a file by name; ValueError for a stage without one."""
    stages: dict[str, list[Instruction]] = {}
    bases: dict[str, str] = {}
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    name = ""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        word, _, text = line.strip().partition(" ")
        if word == "FROM":
            base, separator, name = text.partition(" AS ")
            if not separator:
                raise ValueError(f"{path}: FROM {text}: the stage has no name")
            bases[name], stages[name] = base, []
        else:
            stages[name].append(Instruction(name=word, text=text.strip()))
    return {
        name: Stage(base=bases[name], name=name, instructions=tuple(instructions))
        for name, instructions in stages.items()
    }
