"""Options of `magnet recommend` that say by which rules a list is made."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import click

from magnet_client import Boost, Filter, MaxPer, Pin
from training.cli.options import with_options

Rule = TypeVar("Rule")
_COMPARED = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|==|!=|<|>|=)\s*(.+?)\s*")
_AMONG = re.compile(r"\s*(.+?)\s+(in|not in)\s+(.+?)\s*")


def filter_of(text: str) -> Filter:
    """The filter that `price <= 20`, `brand in a, b` or `sale` (it exists) means."""
    if found := _COMPARED.fullmatch(text):
        name, op, value = found.groups()
        return {"attribute": name, "op": _op("==" if op == "=" else op), "value": _value(value)}
    if found := _AMONG.fullmatch(text):
        name, op, values = found.groups()
        listed = [_value(value.strip()) for value in values.split(",")]
        return {"attribute": name, "op": _op(op.replace(" ", "_")), "value": listed}
    return {"attribute": text.strip(), "op": "exists"}


def _op(text: str) -> Any:
    return text


def _value(text: str) -> Any:
    """A number or a truth value where it looks like one; in double quotes it is a text."""
    with suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, bool | int | float | str):
            return value
    return text


def boost_of(text: str) -> Boost:
    """The boost that `brand == a : 0.5` means; ValueError."""
    condition, points = _halves(text, ":")
    return {"filters": [filter_of(condition)], "points": float(points)}


def pin_of(text: str) -> Pin:
    """The pin that `50=1` means; ValueError."""
    item_id, rank = _halves(text, "=")
    return {"item_id": item_id, "rank": int(rank)}


def max_per_of(text: str) -> MaxPer:
    """The limit that `brand=2` means; ValueError."""
    attribute, count = _halves(text, "=")
    return {"attribute": attribute, "count": int(count)}


def _halves(text: str, mark: str) -> tuple[str, str]:
    """The parts before and after the last mark; ValueError if one is empty."""
    before, _, behind = text.rpartition(mark)
    if not (before.strip() and behind.strip()):
        raise ValueError(text)
    return before.strip(), behind.strip()


class _Rule(click.ParamType[Rule], Generic[Rule]):
    """An option's value that is read as a rule."""

    def __init__(self, name: str, read: Callable[[str], Rule], example: str) -> None:
        self.name = name
        self._read = read
        self._example = example

    def convert(self, value: Any, param: Any, ctx: Any) -> Rule:
        """Read it; BadParameter."""
        try:
            return self._read(value)
        except ValueError:
            self.fail(f"{value!r} is not like {self._example!r}", param, ctx)


rule_options = with_options(
    click.option(
        "--filter",
        "filters",
        multiple=True,
        type=_Rule("condition", filter_of, "price<=20"),
        help="only items that meet it, such as 'price<=20' or 'brand in a,b'; repeat it",
    ),
    click.option(
        "--boost",
        "boosts",
        multiple=True,
        type=_Rule("condition:points", boost_of, "brand==a:0.5"),
        help="points for items that meet a condition, such as 'brand==a:0.5'; repeat it",
    ),
    click.option(
        "--pin",
        "pins",
        multiple=True,
        type=_Rule("item=rank", pin_of, "50=1"),
        help="an item and its rank; repeat it",
    ),
    click.option(
        "--max-per",
        type=_Rule("attribute=count", max_per_of, "brand=2"),
        help="most items with one value, such as 'brand=2'",
    ),
    click.option(
        "--no-default-rules",
        "default_rules",
        is_flag=True,
        default=True,
        flag_value=False,
        help="without the rules that hold for every list",
    ),
)
"""`--filter`, `--boost`, `--pin`, `--max-per` and `--no-default-rules`."""


def given_rules(options: dict[str, Any]) -> dict[str, Any]:
    """The options with rules as the client takes them: those that change nothing left out."""
    rules = {name: options.pop(name) for name in ("filters", "boosts", "pins", "max_per")}
    kept = {name: list(rule) if name != "max_per" else rule for name, rule in rules.items() if rule}
    if not options.pop("default_rules"):
        kept["default_rules"] = False
    return options | kept
