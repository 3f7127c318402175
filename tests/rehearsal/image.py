"""Images: built by executing the Dockerfile's instructions, or replaced by Debian packages."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.rehearsal.dockerfile import Instruction, Stage
from tests.rehearsal.sandbox import MACHINE, Sandbox, bare_layer

_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
_PIP = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
"""How this machine's pip reaches a package index; part of no image."""


class BuildError(RuntimeError):
    """An image cannot be made; the message says which instruction failed, and how."""


@dataclass(slots=True, kw_only=True)
class Image:
    """What a container starts from; `layer` is all that it adds to this machine's root."""

    layer: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    python: bool = True

    def child(self, layer: Path) -> "Image":
        """A copy to build on, in a folder of its own."""
        shutil.copytree(self.layer, layer, symlinks=True)
        environment = dict(self.environment)
        return Image(layer=layer, environment=environment, user=self.user, workdir=self.workdir)


def stand_in(programs: Mapping[str, str], entrypoint: list[str], layer: Path) -> Image:
    """An image of this machine's own programs.

    Args:
        programs: names that the composition uses, and this machine's programs that answer to them.
        entrypoint: as an image has it.
        layer: a folder to make.
    """
    bare_layer(layer)
    binaries = layer / "usr" / "bin"
    binaries.mkdir(parents=True)
    for name, program in programs.items():
        (binaries / name).symlink_to(program)
    environment = {"PATH": _PATH}
    return Image(layer=layer, environment=environment, entrypoint=entrypoint, python=False)


class Builder:
    """Makes the stages of one Dockerfile; each once."""

    def __init__(self, stages: Mapping[str, Stage], context: Path, work: Path) -> None:
        self._stages = stages
        self._context = context
        self._work = work
        self._made: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """The image of a stage; BuildError if an instruction fails."""
        if name not in self._made:
            stage, layer = self._stages[name], self._work / name
            if stage.base in self._stages:
                image = self.image(stage.base).child(layer)
            else:
                image = _bare_python(layer)
            for instruction in stage.instructions:
                self._perform(image, instruction)
            self._made[name] = image
        return self._made[name]

    def _perform(self, image: Image, instruction: Instruction) -> None:
        match instruction.name:
            case "ENV":
                for word in instruction.text.split():
                    name, _, text = word.partition("=")
                    image.environment[name] = text.replace("$PATH", image.environment["PATH"])
            case "WORKDIR":
                image.workdir = instruction.text
                _inside(image.layer, image.workdir).mkdir(parents=True, exist_ok=True)
            case "RUN":
                self._run(image, instruction.text)
            case "COPY":
                self._copy(image, instruction.text.split())
            case _:
                _describe(image, instruction)

    def _run(self, image: Image, line: str) -> None:
        with tempfile.TemporaryDirectory(dir=self._work) as scratch:
            sandbox = Sandbox(
                below=MACHINE,
                upper=image.layer,
                scratch=Path(scratch),
                environment=image.environment | {"HOME": "/tmp"} | _PIP,
                workdir=image.workdir,
                tmpfs=("/tmp",),
            )
            command = sandbox.command(["sh", "-c", line])
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"RUN {line} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

    def _copy(self, image: Image, words: list[str]) -> None:
        origin, ignored = self._context, shutil.ignore_patterns("__pycache__")
        if words[0].startswith("--from="):
            origin = self.image(words.pop(0).removeprefix("--from=")).layer
            ignored = shutil.ignore_patterns()
        *sources, place = words
        target = _inside(image.layer, str(Path(image.workdir, place)))
        target.mkdir(parents=True, exist_ok=True)
        for source in sources:
            found = _inside(origin, source)
            if found.is_dir():
                shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            elif found.is_file():
                shutil.copy(found, target)
            else:
                raise BuildError(f"COPY {source}: there is no such file")


def _bare_python(layer: Path) -> Image:
    """In place of `python:3.11-slim`: this interpreter, seen as /usr/local."""
    bare_layer(layer)
    library = {"LD_LIBRARY_PATH": "/usr/local/lib"} if sys.base_prefix != "/usr" else {}
    return Image(layer=layer, environment={"PATH": _PATH} | library)


def _inside(layer: Path, path: str) -> Path:
    return layer / path.lstrip("/")


def _describe(image: Image, instruction: Instruction) -> None:
    """What an instruction says about running the image; BuildError if nobody knows it."""
    match instruction.name:
        case "USER":
            image.user = instruction.text
        case "ENTRYPOINT":
            image.entrypoint = instruction.words()
        case "CMD":
            image.command = instruction.words()
        case "ARG" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "VOLUME":
            pass  # the composition decides
        case unknown:
            raise BuildError(f"{unknown} is not known here: teach it to {__name__}")
