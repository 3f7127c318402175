"""The commands `items`, `hide` and `show`: the catalogue of a running service."""

import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import click
from pydantic import BaseModel

from deploy.cli.ask import asking, service_options
from magnet_client import AvailabilitiesResponse, ItemFields
from training.cli.options import FILE, with_options

LINES_AT_ONCE = 1_000
"""Lines of one call, few enough for a quick answer; the service takes 10,000, and 32 MB."""


_fields = with_options(
    click.option("--title"),
    click.option("--category", multiple=True, help="repeat it for several"),
    click.option("--description"),
    click.option("--picture-url"),
    click.option(
        "--attribute",
        multiple=True,
        metavar="NAME=VALUE",
        help="a number, true, false or a text; repeat it for several",
    ),
    click.option(
        "--features",
        type=click.File("r"),
        metavar="FILE",
        help="JSON: a vector of each modality, by name",
    ),
    click.option("--available/--hidden", default=None, help="whether it may be shown"),
)
"""What is known of an item."""


def _given(options: dict[str, Any]) -> ItemFields:
    """The fields of those options that were given."""
    fields: ItemFields = {}
    for name in ("title", "description", "picture_url", "available"):
        if options[name] is not None:
            fields[name] = options[name]
    if options["category"]:
        fields["categories"] = [*options["category"]]
    if options["attribute"]:
        fields["attributes"] = dict(map(_attribute, options["attribute"]))
    if options["features"] is not None:
        try:
            fields["features"] = json.load(options["features"])
        except ValueError as error:
            raise click.UsageError(f"--features: it is no JSON: {error}") from error
    return fields


def _attribute(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--attribute {text!r}: write it as NAME=VALUE")
    try:
        read = json.loads(value)
    except ValueError:
        return name, value
    return name, read if isinstance(read, bool | int | float) else value


@click.group
def items() -> None:
    """Put, change, retire and show items of a running service.

    A change counts within a second, on every replica and in later models. The key in MAGNET_API_KEY
    needs the scope `catalogue`; to show an item it needs `read`.
    """


@items.command
@click.argument("item", help="the item's id")
@_fields
@service_options
def put(item: str, url: str, as_json: bool, **options: Any) -> None:
    """Put an item, new or not, all of it: what is left out is taken away."""
    with asking(url) as client:
        answer = client.put_item(item, **_given(options))
    _print_answer(answer, f"{item} is put; known by: {answer.encoded_by}", as_json=as_json)


@items.command
@click.argument("item", help="the item's id")
@_fields
@service_options
def patch(item: str, url: str, as_json: bool, **options: Any) -> None:
    """Change some fields of an item; what is left out stays."""
    with asking(url) as client:
        answer = client.patch_item(item, **_given(options))
    _print_answer(answer, f"{item} is changed; known by: {answer.encoded_by}", as_json=as_json)


@items.command
@click.argument("item", help="the item's id")
@service_options
def delete(item: str, url: str, as_json: bool) -> None:
    """Retire an item: from the next request on nobody is shown it."""
    with asking(url) as client:
        answer = client.delete_item(item)
    _print_answer(answer, f"{item} is retired", as_json=as_json)


@items.command("show")
@click.argument("item", help="the item's id")
@service_options
def show_item(item: str, url: str, as_json: bool) -> None:
    """Show an item, and what the live model knows it by."""
    with asking(url) as client:
        answer = client.item(item)
    told = answer.model_dump(exclude={"request_id", "took_ms"})
    _print_answer(
        answer, "\n".join(f"{name}: {value}" for name, value in told.items()), as_json=as_json
    )


@items.command
@click.argument(
    "file", type=click.File("rb"), help="JSON lines, each an item with `item_id`; - for stdin"
)
@service_options
def bulk(file: BinaryIO, url: str, as_json: bool) -> None:
    """Put the items of a file, 1,000 a call; a call with a faulty line puts nothing.

    A file that was put in part may be put again.
    """
    done = 0
    with asking(url) as client:
        for lines in _parts(file):
            try:
                answer = client.put_items(b"".join(lines))
            except Exception:
                click.echo(f"{done} items are put; lines count from the next one on", err=True)
                raise
            done += answer.items
            said = ", ".join(f"{count} by {name}" for name, count in answer.encoded_by.items())
            _print_answer(answer, f"{done} items are put; known: {said}", as_json=as_json)


_availability = with_options(
    click.argument("item_ids", nargs=-1, metavar="[ITEM]...", help="ids of items"),
    click.option("--file", type=FILE, help="one id on each line; - for stdin"),
    service_options,
)
"""The items that may be shown or not."""


@click.command
@_availability
def hide(item_ids: tuple[str, ...], file: Path | None, url: str, as_json: bool) -> None:
    """Have a running service show items to nobody, from the next list on.

    The key in MAGNET_API_KEY needs the scope `admin`. Items stay hidden in later models until they
    are shown again. A file that was sent in part may be sent again.
    """
    with asking(url) as client:
        for part in _named(item_ids, file):
            answer = client.hide(part)
            _print_answer(answer, _availability_text(answer, "hidden"), as_json=as_json)


@click.command
@_availability
def show(item_ids: tuple[str, ...], file: Path | None, url: str, as_json: bool) -> None:
    """Have a running service show hidden items again, as `magnet hide` takes them."""
    with asking(url) as client:
        for part in _named(item_ids, file):
            answer = client.show(part)
            _print_answer(answer, _availability_text(answer, "shown again"), as_json=as_json)


def _named(item_ids: tuple[str, ...], file: Path | None) -> Iterator[list[str]]:
    """The ids of the command line and of the file, as many as a call takes."""
    of_file = [] if file is None else _lines(file)
    ids = chain(item_ids, filter(None, map(str.strip, of_file)))
    part = list(islice(ids, LINES_AT_ONCE))
    if not part:
        raise click.UsageError("which items? Name some, or --file FILE")
    while part:
        yield part
        part = list(islice(ids, LINES_AT_ONCE))


def _lines(file: Path) -> list[str]:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            return opened.readlines()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from error


def _availability_text(answer: AvailabilitiesResponse, done: str) -> str:
    unknown = len(answer.missing_ids)
    more = f"; the model does not know {unknown} of them" if unknown else ""
    return f"{answer.items} items are {done}, {answer.changed} of them were not yet{more}"


def _parts(file: BinaryIO) -> Iterator[list[bytes]]:
    while lines := list(islice(file, LINES_AT_ONCE)):
        yield lines


def _print_answer(answer: BaseModel, words: str, *, as_json: bool) -> None:
    click.echo(answer.model_dump_json() if as_json else words)
