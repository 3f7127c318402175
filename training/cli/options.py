"""Options that click has not: several words, the fields of a settings class, the command as typed.

Loads no settings class by itself, so that a command's help is there at once.
"""

import shlex
from collections.abc import Callable, Collection, Mapping
from functools import update_wrapper
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError
from typing_extensions import override

from model.registry.keys import check_name

Settings = TypeVar("Settings", bound=BaseModel)
Function = Callable[..., Any]
FOLDER = FILE = click.Path(path_type=Path)
"""A path, as the type of an option; whoever reads it says what is wrong with it."""
_TYPED = "magnet.typed"


class Several(click.Option):
    """An option with any number of words: `--models a b c`. It works in a `Command` only.

    Its value is a tuple, empty if no word follows, and None if the option is not given.
    """

    def __init__(self, *names: Any, **attributes: Any) -> None:
        super().__init__(*names, **attributes | {"multiple": True})

    @override
    def make_metavar(self, ctx: click.Context) -> str:
        """How a value is shown; the dots say that there may be several."""
        return f"{super().make_metavar(ctx)}..."

    @override
    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """The words, each converted; an empty word stands for none."""
        if not isinstance(value, list | tuple) or not value:
            return None
        return super().process_value(ctx, tuple(word for word in value if word))


class Command(click.Command):
    """A command that takes `Several` options and remembers what was typed."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, each word of a `Several` option behind a name of its own."""
        ctx.meta[_TYPED] = list(args)
        flags = {name for each in self.params if isinstance(each, Several) for name in each.opts}
        spread: list[str] = []
        while args and args[0] != "--":
            name, *args = args
            if name in flags:
                words = list(takewhile(lambda word: not word.startswith("-"), args))
                args = args[len(words) :]
                spread += [each for word in words or [""] for each in (name, word)]
            else:
                spread.append(name)
        return super().parse_args(ctx, spread + args)


def as_typed(without: Collection[str] = ()) -> str:
    """The running command as it was typed, which makes the same report again.

    Args:
        without: names of options that are left out, each with its one value.
    """
    context = click.get_current_context()
    kept: list[str] = []
    words = iter(context.meta[_TYPED])
    for word in words:
        if word in without:
            next(words, None)
        elif word.partition("=")[0] not in without:
            kept.append(word)
    return shlex.join([*context.command_path.split(), *kept])


def with_options(*options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Several options as one decorator, in the order of the help."""

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def settings_options(
    model: type[BaseModel], texts: Mapping[str, str]
) -> Callable[[Function], Function]:
    """Add an option for each field of `model` that `texts` names, with its type and default."""
    options = []
    for name, text in texts.items():
        default = model.model_fields[name].default
        options.append(
            click.option(
                flag(name), name, type=type(default), default=default, show_default=True, help=text
            )
        )
    return with_options(*options)


def checked(model: type[Settings], values: Mapping[str, object]) -> Settings:
    """The settings; click.UsageError, naming each option, if they are not usable."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = (
            f"{flag(str(fault['loc'][0])) if fault['loc'] else 'options'}: "
            f"{fault['msg']} (got {fault['input']!r})"
            for fault in error.errors(include_url=False)
        )
        raise click.UsageError("; ".join(faults)) from error


def replacing(
    names: Collection[str], argument: str, make: Callable[..., object]
) -> Callable[[Function], Function]:
    """Call the function with `make(**options)` as `argument` in place of the options `names`."""

    def decorate(function: Function) -> Function:
        def run(**options: Any) -> Any:
            options[argument] = make(**{name: options.pop(name) for name in names})
            return function(**options)

        return update_wrapper(run, function)

    return decorate


def flag(name: str) -> str:
    """The option of a field."""
    return "--" + name.replace("_", "-")


def ray_option(function: Function) -> Function:
    """`--ray`, for what a cluster can compute: the `address` of `engine_at`."""
    return click.option(
        "--ray",
        "address",
        metavar="ADDRESS",
        help="compute on a Ray cluster: host:port, `auto` for the one that this machine is part "
        "of, or `local` for this machine's processors (docs/how-to/ray.md)",
    )(function)


def usable_namespace(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback for a namespace, if one is given."""
    try:
        return None if value is None else check_name(value, "the namespace")
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
