"""The mapping that names and first rows of the files suggest.

Where several tables or columns fit, nothing is decided: it becomes a question.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import polars as pl

from model.artifact.files import PICTURE_FOLDER, pictures_in
from model.registry.items import MAX_ATTRIBUTES
from training.data.folder import MAX_ATTRIBUTE
from training.data.tables import DataError
from training.ingest.formats import DEFAULT_ENCODING
from training.ingest.mapping import NAMES, Mapping, mapping_text, named, plain
from training.ingest.rejects import Rejects
from training.ingest.sources import Given, Source
from training.ingest.values import missing, numbers, order_of, seconds

_ROWS = 5000
_MOSTLY = 0.8
"""Share of a column's values that must be what the column is taken for; bad rows are usual."""
_MOST_EVENTS = 20
"""Kinds of events; a column of more kinds names something else."""
_SAME_ID = 0.5
"""Share of one table's ids that another has, if both use the same ids; both are only sampled, and
the other may lack some."""
_NAMING = 0.95
"""Least share of distinct values in a column that identifies the rows."""
_SOME = 0.1
"""Least share of the ids that a column must hold to refer to them; ratings hold few."""
_MOST_RATINGS = 20
"""Most distinct values of ratings; a column with more numbers is more likely a price."""
_MOST_OFFERED = 12
"""Columns that a question lists."""
_LABELS = ("0", "1", "2", "0.0", "1.0", "2.0")
_SEPARATORS = ("|", ";", ",")
_DISLIKES = frozenset(
    {"dislike", "downvote", "unlike", "return", "refund", "skip", "remove", "hide", "cancel"}
)
_ITEM_IDS, _USER_IDS = "i_id_mapping", "u_id_mapping"
"""MMRec's names of the files that say which row number is which item or user."""

Columns = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a mapping leaves open."""

    table: str
    text: str
    lines: list[str]
    """One of them is to be written into the mapping."""
    about_files: bool = False


@dataclass(slots=True, kw_only=True)
class Proposal:
    """A mapping in the making."""

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
        """Ask which of some values a key has."""
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for value in values]
        question = Question(table=table, text=text, lines=lines, about_files=key == "files")
        self.questions.append(question)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """A table and its first rows."""

    path: Path
    names: list[str]
    rows: pl.DataFrame
    """Stripped strings."""
    headed: bool = True
    """Whether the names are the file's own."""

    @classmethod
    def of(cls, source: Source) -> Self:
        """Read the first rows."""
        sample = next(source.batches(source.names, Rejects(), _ROWS))
        rows = sample.select(pl.col(source.names).str.strip_chars())
        return cls(path=source.path, names=source.names, rows=rows)

    def candidates(self, role: str) -> list[str]:
        """Columns that may have this role by name and by content."""
        holds = _CONTENT.get(role, len)
        return [name for name in named(role, self.names) if holds(self.present(name))]

    def dated(self) -> list[str]:
        """Columns of dates, by content alone; plain numbers may be anything and do not count."""
        return [
            name
            for name in self.names
            if self.present(name).cast(pl.Float64, strict=False).is_null().all()
            and _is_time(self.present(name))
        ]

    def all_named(self, role: str) -> list[str]:
        """Columns that may have this role by name, however unlikely."""
        return [name for name in self.names if named(role, [name])]

    def about(self, item: str, other: Collection[str]) -> "Sampled":
        """The columns that say the same in nearly all rows of an item, and so are about items.

        Args:
            item: the column of items' ids.
            other: columns that are known to be about something else.
        """
        names = [item, *(x for x in self.names if x not in other and self._is_set_by(x, item))]
        return Sampled(path=self.path, names=names, rows=self.rows)

    def _is_set_by(self, column: str, item: str) -> bool:
        again = self.rows.filter(~pl.col(item).is_first_distinct())
        firsts = self.rows.unique(item, keep="first").select(item, first=column)
        same = again.join(firsts, on=item).select(pl.col(column) == pl.col("first")).to_series()
        return len(same) > 0 and same.sum() >= _MOSTLY * len(same)

    def present(self, column: str) -> pl.Series:
        """Its values that are not missing."""
        return self.rows.filter(~missing(pl.col(column)))[column]

    def separator(self, column: str) -> str:
        """Between the categories of one item; RecBole's sequences have spaces."""
        values = self.present(column)
        found = (mark for mark in _SEPARATORS if values.str.contains(mark, literal=True).any())
        return next(found, " " if self.path.suffix == ".item" else "|")

    def references(self, other: "Sampled") -> list[tuple[str, str]]:
        """Pairs of a column here, whose values repeat, and the ids in another table it names."""
        return [
            (ours, theirs)
            for theirs in other.names
            if len(ids := other.present(theirs)) > 1 and ids.n_unique() >= _NAMING * len(ids)
            for ours in self.names
            if self._repeats(ours, ids) and self.overlap(ours, ids) >= _SAME_ID
        ]

    def _repeats(self, column: str, ids: pl.Series) -> bool:
        """Whether the column names many of the ids, some of them several times."""
        values = self.present(column)
        least = _SOME * min(len(ids), len(values))
        return least <= values.n_unique() < len(values)

    def overlap(self, column: str, other: pl.Series) -> float:
        """Share of the column's values that are among others."""
        return float(self.present(column).is_in(other.implode()).mean() or 0.0)  # type: ignore[arg-type]


def _is_number(values: pl.Series) -> bool:
    return _mostly(pl.select(numbers(pl.lit(values))).to_series())


def _is_time(values: pl.Series) -> bool:
    return any(_mostly(seconds(values, order=order)) for order in ("day-first", "month-first"))


def _mostly(read: pl.Series) -> bool:
    return len(read) > 0 and read.null_count() <= (1 - _MOSTLY) * len(read)


_CONTENT: dict[str, Callable[[pl.Series], object]] = {
    "rating": _is_number,
    "count": _is_number,
    "year": _is_number,
    "timestamp": _is_time,
    "event": lambda values: 0 < values.n_unique() <= _MOST_EVENTS,
    "label": lambda values: len(values) > 0 and bool(values.is_in(_LABELS).all()),
}


def propose(given: Given, encoding: str) -> Proposal:
    """The mapping that the files suggest; DataError if one cannot be read, or there is none."""
    tables = _read(given, encoding)
    item_ids, user_ids = (
        [table for table in tables if table.path.name.startswith(stem)]
        for stem in (_ITEM_IDS, _USER_IDS)
    )
    rest = [table for table in tables if table not in (*item_ids, *user_ids)]
    if not rest:
        raise DataError(given.first, "is no table of interactions", "give one beside it")

    proposal = Proposal()
    interactions = _find_interactions(rest, proposal)
    others = [table for table in rest if table not in interactions]
    items = item_ids or _find_items(others, interactions, proposal)
    open_files = any(question.about_files for question in proposal.questions)
    ignored = [x.path.name for x in others if x not in items and not open_files]
    if encoding != DEFAULT_ENCODING:
        proposal.values["encoding"] = encoding
    if ignored:
        proposal.values["ignore"] = ignored
    item_id = _shared_id(interactions, items)
    names = interactions[0].names if interactions else []
    if interactions:
        columns = interaction_columns(interactions[0], item_id[0], proposal)
        proposal.values["interactions"] = _files(interactions) | columns
    if item_ids:
        columns = _id_pair(items[0], names) | {"feature_rows": "id"}
        proposal.values["items"] = _files(items) | columns
    else:
        _add_items(interactions, items, item_id, proposal)
    if user_ids:
        proposal.values["users"] = _files(user_ids) | _id_pair(user_ids[0], names)
    _ask_for_names("interactions", interactions, proposal)
    _ask_for_names("items", items, proposal)
    return proposal


def _read(given: Given, encoding: str) -> list[Sampled]:
    read = [Sampled.of(Source.open(path, encoding)) for path in given.tables]
    if read and all(table.rows.is_empty() for table in read):
        raise DataError(given.first, "has no rows", "give a file that has some")
    return [_with_names(table) if _is_headless(table) else table for table in read]


def _find_interactions(tables: Sequence[Sampled], proposal: Proposal) -> list[Sampled]:
    """All parts of the table that names users and items, best with how much they like them."""
    found = [x for x in tables if x.candidates("user") and x.candidates("item")]
    for role in ("rating", "event", "count"):
        rated = [table for table in found if table.candidates(role)]
        if rated:
            found = rated
            break
    if not found and len(tables) == 1:
        found = list(tables)
    if not found:  # names say nothing: a table whose rows refer to another's
        found = [x for x in tables if any(x.references(other) for other in tables if other != x)]
    return _one(found or tables, "interactions", "who interacted with what", proposal)


def _find_items(
    tables: Sequence[Sampled], interactions: Sequence[Sampled], proposal: Proposal
) -> list[Sampled]:
    """All parts of the table that says most about items, and nothing about users."""
    found = [x for x in tables if x.candidates("id") and not x.candidates("user")]
    if not found:
        found = [x for x in tables if any(each.references(x) for each in interactions)]
    titled = [table for table in found if table.candidates("title")]
    return _one(titled or found, "items", "what is known about items", proposal)


def _one(tables: Sequence[Sampled], table: str, what: str, proposal: Proposal) -> list[Sampled]:
    """Files with the same columns are parts of one table; none if there are several tables."""
    groups: dict[tuple[str, ...], list[Sampled]] = {}
    for sampled in tables:
        groups.setdefault(tuple(sampled.names), []).append(sampled)
    if len(groups) == 1:
        return next(iter(groups.values()))
    if groups:
        proposal.values[table] = {}
        files = [_files(group)["files"] for group in groups.values()]
        proposal.ask(table, "files", f"{what} is in one of these (or give only that file)", files)
    return []


def _files(tables: Sequence[Sampled]) -> Columns:
    return {"files": [table.path.name for table in tables]}


def _shared_id(
    interactions: Sequence[Sampled], items: Sequence[Sampled]
) -> tuple[list[str], list[str]]:
    """Columns that may be the item's id in the interactions and in the item table.

    Where names leave several, those that hold the same ids.
    """
    ours = interactions[0].candidates("item") if interactions else []
    if not items:
        return ours, []
    theirs = items[0].candidates("id")
    if ours and theirs:
        pairs = [
            (our, their)
            for our in interactions[0].all_named("item")
            for their in items[0].all_named("id")
            if interactions[0].overlap(our, items[0].rows[their]) >= _SAME_ID
        ]
        pairs = [(our, their) for our, their in pairs if our == their] or pairs
    else:
        pairs = interactions[0].references(items[0]) if interactions else []
    return ([pairs[0][0]], [pairs[0][1]]) if len(pairs) == 1 else (ours, theirs)


def _add_items(
    interactions: Sequence[Sampled],
    items: Sequence[Sampled],
    item_id: tuple[Sequence[str], Sequence[str]],
    proposal: Proposal,
) -> None:
    """The item table, or else what the interactions say about items, if they do."""
    ours, theirs = item_id
    if items:
        proposal.values["items"] = _files(items) | item_columns(items[0], theirs, proposal)
    elif interactions and len(ours) == 1:
        known = proposal.values["interactions"]
        assert isinstance(known, dict)
        within = interactions[0].about(ours[0], [x for x in known.values() if isinstance(x, str)])
        columns = item_columns(within, ours, proposal)
        if columns.keys() & {"title", "categories", "text"}:
            proposal.values["items"] = _files(interactions) | columns


def interaction_columns(table: Sampled, items: Sequence[str], proposal: Proposal) -> Columns:
    """Keys of `[interactions]`; `items` are the columns that may be the item's id."""
    asking = _Asking("interactions", table, proposal)
    found = asking.found
    users = table.candidates("user")
    asking.required("user", users, besides=[*items, *table.dated()])
    asking.required("item", items, besides=[*users, *table.dated()])
    if not asking.optional("rating", table.candidates("rating")):
        _events_or_counts(table, asking)
    asking.optional("timestamp", table.candidates("timestamp") or table.dated())
    asking.optional("label", table.candidates("label"))
    if "timestamp" in found:
        order = order_of(table.present(str(found["timestamp"])))
        if order == "unclear":
            text = "whether 03/04/2024 is in March or in April"
            proposal.ask("interactions", "dates", text, ["day-first", "month-first"])
        elif order is not None:
            found["dates"] = order
    return found


def _events_or_counts(table: Sampled, asking: "_Asking") -> None:
    if asking.optional("event", table.candidates("event")):
        if "event" in asking.found:
            kinds = table.present(str(asking.found["event"])).value_counts()
            first = kinds.sort("count", kinds.columns[0], descending=[True, False]).to_series()
            weights = {kind: 0 if plain(kind) in _DISLIKES else 1 for kind in first}
            asking.found["weights"] = weights
    elif asking.optional("rating", table.candidates("count")):
        asking.found |= {"min_rating": 1, "repeats": "sum"}  # every count is a like


def item_columns(table: Sampled, ids: Sequence[str], proposal: Proposal) -> Columns:
    """Keys of `[items]`; `ids` are the columns that may be the item's id."""
    asking = _Asking("items", table, proposal)
    asking.required("id", ids)
    found, taken = asking.found, set(ids)
    for role in ("title", "year", "categories", "picture", "available"):
        for name in table.candidates(role)[:1]:
            found[role] = name
            taken.add(name)
    if "categories" in found:
        separator = table.separator(str(found["categories"]))
        if separator != "|":
            found["categories_separator"] = separator
    texts = [name for name in table.candidates("text") if name not in taken]
    if texts:
        found["text"] = texts
    others = table.names if table.headed else []
    attributes = [name for name in others if name not in {*taken, *texts}]
    if attributes := [name for name in attributes if _is_attribute(table.present(name))]:
        found["attributes"] = attributes[:MAX_ATTRIBUTES]
    pictures = pictures_in(table.path.parent / PICTURE_FOLDER)
    if "id" in found and not pictures.keys().isdisjoint(table.rows[str(found["id"])]):
        found["picture_folder"] = PICTURE_FOLDER
    return found


def _is_attribute(values: pl.Series) -> bool:
    """Whether items may be told apart by it: no long texts, not the same for all."""
    return values.n_unique() > 1 and bool((values.str.len_chars() <= MAX_ATTRIBUTE).all())


def _id_pair(table: Sampled, interactions: Sequence[str]) -> Columns:
    """The column that the interactions have too, and the other as the public id."""
    inner = next((name for name in table.names if name in interactions), table.names[-1])
    outer = next((name for name in table.names if name != inner), inner)
    return {"id": inner, "public_id": outer}


class _Asking:
    """Settles which column of one table has which role, and asks where it is not clear."""

    def __init__(self, name: str, table: Sampled, proposal: Proposal) -> None:
        self._name, self._table, self._proposal = name, table, proposal
        self.found: Columns = {}

    def required(self, key: str, candidates: Sequence[str], besides: Collection[str] = ()) -> None:
        """Take the only candidate, or ask; without candidates, offer all columns but `besides`."""
        if len(candidates) == 1:
            self.found[key] = candidates[0]
            return
        others = [name for name in self._table.names if name not in besides]
        offered = list(candidates or others or self._table.names)
        text = f"which column of {self._table.path.name} is the {key}"
        if len(offered) > _MOST_OFFERED:
            text += f" (of {len(offered)}; every row should be one choice of one item by one user)"
        self._proposal.ask(self._name, key, text, offered[:_MOST_OFFERED])

    def optional(self, key: str, candidates: Sequence[str]) -> bool:
        """Whether there is such a column, even if it is not clear which."""
        if candidates:
            self.required(key, candidates)
        return bool(candidates)


def _is_headless(table: Sampled) -> bool:
    """Whether the line that should be a header looks like a row.

    No name in it is known, and one is a number or a value of its own column.
    """
    if any(named(role, table.names) for role in NAMES):
        return False
    return any(_is_plain_number(name) or name in table.present(name) for name in table.names)


def _with_names(table: Sampled) -> Sampled:
    """The same rows, with names by the order in which such tables usually have their columns."""
    names = list(_usual_names(table))
    rows = table.rows.rename(dict(zip(table.names, names, strict=True)))
    return Sampled(path=table.path, names=names, rows=rows, headed=False)


def _usual_names(table: Sampled) -> Iterator[str]:
    is_item_table = table.present(table.names[0]).is_unique().all()
    usual = iter(("item", "title") if is_item_table else ("user", "item"))
    dated, rest = table.dated(), ["rating", "timestamp"]
    for place, column in enumerate(table.names, 1):
        found = "timestamp" if column in dated else next(usual, None) or _rated(table, column)
        if found in rest:
            rest.remove(found)
        elif found in ("rating", "timestamp", None):
            found = f"column {place}"
        yield found


def _rated(table: Sampled, column: str) -> str | None:
    values = table.present(column)
    few = 1 < values.n_unique() <= _MOST_RATINGS
    return "rating" if few and all(map(_is_plain_number, values.unique())) else None


def _is_plain_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _ask_for_names(name: str, tables: Sequence[Sampled], proposal: Proposal) -> None:
    """Ask for the column names of a file without a header; these are guessed."""
    if tables and not tables[0].headed:
        file = tables[0].path.name
        text = f"what the columns of {file} are called (its first line is no header; correct these)"
        proposal.ask(name, "columns", text, [tables[0].names])
