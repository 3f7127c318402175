"""A mapping proposed from column names and from the first rows of each file.

Knows which tables belong together; decides nothing that more than one table or column could be:
that becomes a question.
"""

from collections.abc import Sequence

from training.intake.column_guess import Columns, id_pair, interaction_columns, item_columns
from training.intake.given import Given
from training.intake.headless import is_headless, with_names
from training.intake.proposal import Proposal
from training.intake.sampled import SAME_ID, Sampled
from training.intake.source import Source
from training.intake.text_lines import DEFAULT_ENCODING
from training.tables import DataError

_ITEM_IDS, _USER_IDS = "i_id_mapping", "u_id_mapping"
"""MMRec's names of the files that say which row number is which item or user."""


def propose(given: Given, encoding: str) -> Proposal:
    """What the files seem to mean; DataError if one of them cannot be read, or there is none."""
    tables = _read(given, encoding)
    item_ids, user_ids = (
        [table for table in tables if table.path.name.startswith(stem)]
        for stem in (_ITEM_IDS, _USER_IDS)
    )
    rest = [table for table in tables if table not in (*item_ids, *user_ids)]
    if not rest:
        raise DataError(given.first, "is no table of interactions", "give one beside it")

    proposal = Proposal()
    choices = _interactions(rest, proposal)
    items = item_ids or _items([table for table in rest if table not in choices], choices, proposal)
    open_files = any(question.about_files for question in proposal.questions)
    ignored = [x.path.name for x in rest if x not in (*choices, *items) and not open_files]
    if encoding != DEFAULT_ENCODING:
        proposal.values["encoding"] = encoding
    if ignored:
        proposal.values["ignore"] = ignored
    item_id = _shared_id(choices, items)
    if choices:
        columns = interaction_columns(choices[0], item_id[0], proposal)
        proposal.values["interactions"] = _files(choices) | columns
    names = choices[0].names if choices else []
    if item_ids:
        columns = id_pair(items[0], names) | {"feature_rows": "id"}
        proposal.values["items"] = _files(items) | columns
    else:
        _add_items(choices, items, item_id, proposal)
    if user_ids:
        proposal.values["users"] = _files(user_ids) | id_pair(user_ids[0], names)
    _ask_for_names("interactions", choices, proposal)
    _ask_for_names("items", items, proposal)
    return proposal


def _read(given: Given, encoding: str) -> list[Sampled]:
    read = [Sampled.of(Source.open(path, encoding)) for path in given.tables]
    if read and all(table.rows.is_empty() for table in read):
        raise DataError(given.first, "has no rows", "give a file that has some")
    return [with_names(table) if is_headless(table) else table for table in read]


def _ask_for_names(name: str, tables: Sequence[Sampled], proposal: Proposal) -> None:
    """Where they are our own."""
    if tables and not tables[0].headed:
        file = tables[0].path.name
        text = f"what the columns of {file} are called (its first line is no header; correct these)"
        proposal.ask(name, "columns", text, [tables[0].names])


def _interactions(tables: Sequence[Sampled], proposal: Proposal) -> list[Sampled]:
    """All parts of the table that names users and items and, best, says how they like them."""
    found = [x for x in tables if x.candidates("user") and x.candidates("item")]
    for role in ("rating", "event", "count"):
        telling = [table for table in found if table.candidates(role)]
        if telling:
            found = telling
            break
    if not found and len(tables) == 1:
        found = list(tables)
    if not found:  # by no name; whose rows name those of another then
        found = [x for x in tables if any(x.references(other) for other in tables if other != x)]
    return _one(found or tables, "interactions", "who interacted with what", proposal)


def _items(
    tables: Sequence[Sampled], choices: Sequence[Sampled], proposal: Proposal
) -> list[Sampled]:
    """All parts of the table that says most about items, and nothing about users."""
    found = [x for x in tables if x.candidates("id") and not x.candidates("user")]
    if not found:
        found = [x for x in tables if any(choice.references(x) for choice in choices)]
    titled = [table for table in found if table.candidates("title")]
    return _one(titled or found, "items", "what is known about items", proposal)


def _add_items(
    choices: Sequence[Sampled],
    items: Sequence[Sampled],
    item_id: tuple[Sequence[str], Sequence[str]],
    proposal: Proposal,
) -> None:
    """The item table, or else what the interactions say about items, if they do."""
    ours, theirs = item_id
    if items:
        proposal.values["items"] = _files(items) | item_columns(items[0], theirs, proposal)
    elif choices and len(ours) == 1:
        known = proposal.values["interactions"]
        assert isinstance(known, dict)
        within = choices[0].about(ours[0], [x for x in known.values() if isinstance(x, str)])
        columns = item_columns(within, ours, proposal)
        if columns.keys() & {"title", "categories", "text"}:
            proposal.values["items"] = _files(choices) | columns


def _one(tables: Sequence[Sampled], table: str, what: str, proposal: Proposal) -> list[Sampled]:
    """Those with the same columns are parts of one; nothing if there are several such groups."""
    groups: dict[tuple[str, ...], list[Sampled]] = {}
    for sampled in tables:
        groups.setdefault(tuple(sampled.names), []).append(sampled)
    if len(groups) == 1:
        return next(iter(groups.values()))
    if groups:
        proposal.values[table] = {}
        choices = [_files(group)["files"] for group in groups.values()]
        proposal.ask(table, "files", f"{what} is in one of these (or give only that file)", choices)
    return []


def _shared_id(choices: Sequence[Sampled], items: Sequence[Sampled]) -> tuple[list[str], list[str]]:
    """Columns that may be the item's id in the interactions and in the item table.

    Where names leave several, those that hold the same ids.
    """
    ours = choices[0].candidates("item") if choices else []
    theirs = items[0].candidates("id") if items else []
    if items and not (ours and theirs):
        named = choices[0].references(items[0]) if choices else []
        return ([named[0][0]], [named[0][1]]) if len(named) == 1 else (ours, theirs)
    if not items:
        return ours, theirs
    pairs = [
        (our, their)
        for our in choices[0].all_named("item")
        for their in items[0].all_named("id")
        if choices[0].overlap(our, items[0].rows[their]) >= SAME_ID
    ]
    pairs = [(our, their) for our, their in pairs if our == their] or pairs
    return ([pairs[0][0]], [pairs[0][1]]) if len(pairs) == 1 else (ours, theirs)


def _files(tables: Sequence[Sampled]) -> Columns:
    return {"files": [table.path.name for table in tables]}
