"""Options that take several words, and options made from a settings class."""

from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel, Field

from training.cli.options import (
    Command,
    Several,
    as_typed,
    checked,
    replacing,
    settings_options,
)


class Size(BaseModel):
    most_epochs: int = Field(default=3, ge=1)
    rate: float = 0.5


@click.command(cls=Command)
@click.argument("first", required=False)
@click.option("--models", cls=Several, type=click.Choice(["a", "b"]))
@click.option("--json")
@settings_options(Size, {"most_epochs": "how long", "rate": "how fast"})
@replacing(("most_epochs", "rate"), "size", lambda **options: checked(Size, options))
def probe(**options: Any) -> None:
    click.echo(repr(options))
    click.echo(as_typed({"--json"}))


def run(*words: str) -> Result:
    return CliRunner().invoke(probe, words, prog_name="magnet probe")


@pytest.mark.parametrize(
    ("words", "models", "first"),
    [
        ([], None, None),
        (["x"], None, "x"),
        (["--models"], (), None),
        (["--models", "a"], ("a",), None),
        (["--models", "a", "b", "--rate", "1"], ("a", "b"), None),
        (["x", "--models", "a", "b"], ("a", "b"), "x"),
        (["--models", "a", "--", "b"], ("a",), "b"),
        (["--models=b", "x"], ("b",), "x"),
    ],
)
def test_several_words(words: list[str], models: object, first: object) -> None:
    said = run(*words).output.splitlines()[0]
    assert f"'models': {models!r}" in said
    assert f"'first': {first!r}" in said


def test_each_word_is_checked() -> None:
    done = run("--models", "a", "c")
    assert done.exit_code == 2
    assert "'c' is not one of 'a', 'b'" in done.output


def test_settings_have_their_types_and_defaults() -> None:
    assert "'size': Size(most_epochs=3, rate=0.5)" in run().output
    assert "'size': Size(most_epochs=7, rate=0.25)" in run("--most-epochs=7", "--rate=.25").output
    assert "[default: 3]" in run("--help").output


def test_a_setting_that_is_out_of_range_is_named_as_it_is_typed() -> None:
    done = run("--most-epochs", "0")
    assert done.exit_code == 2
    assert "--most-epochs: Input should be greater than or equal to 1 (got 0)" in done.output


def test_the_command_as_it_was_typed() -> None:
    said = run("--models", "a", "b", "--json", "out.json", "--rate", "1").output
    assert said.splitlines()[1] == "magnet probe --models a b --rate 1"
    assert run("--json=x", "y z").output.splitlines()[1] == "magnet probe 'y z'"
