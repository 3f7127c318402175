"""The mapping that names and first rows of the files suggest.

Where several tables or columns fit, or one that looks meant cannot be read, nothing is decided: it
becomes a question. What is left out is noted with the reason.
"""

from collections.abc import Collection, Iterator, Sequence

import polars as pl

from model.artifact.files import PICTURE_FOLDER, pictures_in
from model.registry.items import MAX_ATTRIBUTES
from training.data.folder import MAX_ATTRIBUTE
from training.data.tables import DataError
from training.ingest.formats import DEFAULT_ENCODING
from training.ingest.names import ID_WORDS, NAMES, named, plain, weights_of, words_of
from training.ingest.proposal import Columns, Proposal
from training.ingest.sampled import MOST_EVENTS, Sampled, examples
from training.ingest.sources import SEVERAL, Given, Source
from training.ingest.times import SPREADSHEET, like_days, order_of, seconds
from training.ingest.values import thousands_of, wholes

_MOST_RATINGS = 20
"""Most distinct values of ratings; a column with more numbers is more likely a price."""
_ALWAYS = 0.99
"""Share of an id's rows that say the same, if a number is about what the id stands for."""
_FEWEST_OF_MATRIX = 5
_MATRIX = (
    "seems to have a column for each item",
    "write one row for each choice of one item by one user: user,item,rating",
)
"""What is wrong with such a table, and what to do."""
_MOST_OFFERED = 12
"""Columns that a question lists."""
_LATE = 1e8
"""Seconds since 1970: larger numbers, from 1973 on, may be moments."""
_FILLED = 0.9
"""Least share of the rows that say what happened, if it is to be known of every row."""
_ITEM_IDS, _USER_IDS = "i_id_mapping", "u_id_mapping"
"""MMRec's names of the files that say which row number is which item or user."""


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
    left_out = [x for x in others if x not in items and not open_files]
    proposal.notes += [_why_ignored(table, interactions, items) for table in left_out]
    ignored = [x.path.name for x in left_out]
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
    proposal.ask_about_unread()
    return proposal


def _why_ignored(table: Sampled, interactions: Sequence[Sampled], items: Sequence[Sampled]) -> str:
    if table.candidates("user") and table.candidates("item") and interactions:
        why = f"interactions are in {interactions[0].path.name}"
    elif table.is_about_people:
        why = "it is about users, of whom only ids are used"
    elif items:
        why = f"items are in {items[0].path.name}"
    else:
        why = "it names no items of the interactions"
    return f"{table.path.name}: {why}"


def _read(given: Given, encoding: str) -> list[Sampled]:
    read = [Sampled.of(Source.open(path, encoding)) for path in given.tables]
    if read and all(table.rows.is_empty() for table in read):
        raise DataError(given.first, "has no rows", "give a file that has some")
    return [
        _with_names(table) if not table.headed or _is_headless(table) else table for table in read
    ]


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
    tables = [x for x in tables if not x.is_about_people]
    found = [x for x in tables if x.candidates("id")]
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
    return {"files": list(dict.fromkeys(table.path.name for table in tables))}


def _shared_id(
    interactions: Sequence[Sampled], items: Sequence[Sampled]
) -> tuple[Sequence[str], Sequence[str]]:
    """Columns that may be the item's id in the interactions and in the item table.

    Where names leave several, those that hold the same ids.
    """
    ours = interactions[0].candidates("item") if interactions else []
    if not items:
        return (interactions[0].with_siblings(ours) if interactions else ours), []
    theirs = items[0].candidates("id")
    if ours and theirs:
        pairs = [
            (our, their)
            for our in interactions[0].all_named("item")
            for their in items[0].all_named("id")
            if interactions[0].shares_ids(our, items[0].rows[their])
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
    users, times = table.with_siblings(table.candidates("user")), table.candidates("timestamp")
    dated = [] if users and items and times else table.dated()
    asking.required_id("user", users, besides=[*items, *dated])
    asking.required_id("item", items, besides=[*users, *dated])
    _add_value(asking, {*users, *items, *times, *dated})
    _add_time(asking, times, dated)
    asking.optional("label", table.candidates("label"))
    for role in ("timestamp", "label"):
        asking.note_unreadable(role)
    return asking.found


def _add_time(asking: "_Asking", times: Sequence[str], dated: Sequence[str]) -> None:
    """A column of times by its name, or else the only one of dates that is not called otherwise."""
    others = [name for name in asking.table.with_other_dates() if name in dated]
    asking.optional("timestamp", times or [name for name in dated if name not in others])
    if "timestamp" in asking.found:
        _add_dates(asking)
        return
    for name in others:
        why = "by its name the date of something else; if it is when users chose, write"
        asking.note([name], f'{why} timestamp = "{name}"')


def _add_dates(asking: "_Asking") -> None:
    """What comes first in the dates, and what numbers count, if the values show it."""
    values = asking.table.present(str(asking.found["timestamp"]))
    order = order_of(values)
    if order == "unclear":
        several = ["day-first", "month-first"]
        if values.str.contains(r"^\d{1,2}[/.-]\d{1,2}[/.-]\d{2}\b").any():
            several.append("year-first")
        asking.ask("dates", f"what comes first in dates such as {examples(values)}", several)
    elif order is not None:
        asking.found["dates"] = order
    if like_days(values):
        text = f"what numbers such as {examples(values)} count: days of a spreadsheet, or seconds"
        asking.ask("timestamp_format", text, [SPREADSHEET, "s"])


def _add_value(asking: "_Asking", taken: Collection[str]) -> None:
    """Ratings, or else events, or else counts, of what the table says how much an item is liked.

    Asks about columns besides those `taken` that may say so, if none does by its name.
    """
    table, found = asking.table, asking.found
    by_role = {role: table.candidates(role) for role in ("rating", "event", "count")}
    by_role["event"] = [x for x in by_role["event"] if _tells_likes(table, x, asking)]
    used = next((role for role, columns in by_role.items() if columns), None)
    for role in by_role:
        asking.note_unreadable(role, instead=used)
    if used is None:
        _ask_about_unnamed(asking, taken)
        return
    columns = by_role[used]
    if used == "event":
        asking.choose("event", [_events(table, column) for column in columns])
    else:
        asking.required("rating", columns)
    if "rating" in found:
        _add_style(asking)
    if used == "count":
        found |= {"min_rating": 1, "repeats": "sum"}  # every count is a like
    for role, others in by_role.items():
        if role != used:
            asking.note(others, f"{' or '.join(columns)} says how much an item is liked")


def _ask_about_unnamed(asking: "_Asking", taken: Collection[str]) -> None:
    """Columns that may be events or ratings by their content, and are called something unknown."""
    table = asking.table
    for column in table.names:
        is_known = column in taken or any(named(role, [column]) for role in NAMES)
        if is_known or ID_WORDS.intersection(words_of(column)):
            continue
        values = table.present(column)
        points = weights_of(values.unique()) if values.n_unique() <= MOST_EVENTS else {}
        no_likes = [event for event, each in points.items() if each <= 0]
        if no_likes and max(points.values()) > 0:
            text = f"whether {column} says what happened, as {examples(sorted(no_likes))} would"
            asking.choose("event", [_events(table, column)], certain=(), text=text)
        elif _like_ratings(asking, column):
            asking.refuse(
                column,
                "nothing says what its numbers mean; if they say how much an item is liked, write "
                f'rating = "{column}", and min_rating = 1 if every number is a like',
            )


def _like_ratings(asking: "_Asking", column: str) -> bool:
    """Whether they are few numbers that come again and again, not always the same for one id."""
    table, values = asking.table, asking.table.present(column)
    if not 1 < values.n_unique() <= min(_MOST_RATINGS, len(values) // 2):
        return False
    ids = [x for role in ("user", "item") if isinstance(x := asking.found.get(role), str)]
    of_one = any(table.set_by(column, each) >= _ALWAYS for each in ids)
    return not of_one and not table.unlike("rating", column)


def _tells_likes(table: Sampled, column: str, asking: "_Asking") -> bool:
    """Whether all rows say what happened; a status says it only if it is not always good."""
    *_, states = NAMES["event"]
    weights = weights_of(table.present(column).unique())
    if plain(column) in states:
        if min(weights.values()) >= 0:
            asking.note([column], "no value of it takes an interaction back")
            return False
        filled = len(table.present(column)) / max(1, len(table.rows))
        if filled < _FILLED:
            asking.refuse(column, f"says what became of only {filled:.0%} of the rows")
            return False
    return True


def _events(table: Sampled, column: str) -> Columns:
    """Keys for a column of events; DataError if no event in it is a like."""
    kinds = table.present(column).value_counts()
    first = kinds.sort("count", kinds.columns[0], descending=[True, False]).to_series()
    weights = weights_of(first)
    if max(weights.values()) <= 0:
        raise DataError(
            table.path,
            f"no event in it is a like: {', '.join(first)}",
            "give the file of the others too, or a mapping with weights, of which one is above 0",
            column=column,
        )
    return {"event": column, "weights": weights}


def _add_style(asking: "_Asking") -> None:
    """How the numbers of the rating are written."""
    values = asking.table.present(str(asking.found["rating"]))
    thousands, parts = thousands_of(values), wholes(values)
    if thousands == "unclear":
        marked = values.filter(values.str.contains(r"[.,]"))
        text = f"which mark is between thousands in {examples(marked)}"
        asking.ask("thousands", text, [",", "."])
    elif thousands is not None:
        asking.found["thousands"] = thousands
    if parts:
        asking.found["rating_out_of"] = parts[0]


def item_columns(table: Sampled, ids: Sequence[str], proposal: Proposal) -> Columns:
    """Keys of `[items]`; `ids` are the columns that may be the item's id."""
    asking = _Asking("items", table, proposal)
    asking.required("id", ids)
    found, taken = asking.found, set(ids)
    for role in ("title", "year", "categories", "picture", "available"):
        columns = [name for name in table.candidates(role) if name not in taken]
        if role == "title" and not columns and "id" in found:
            known = {x for other in NAMES for x in table.all_named(other)}
            columns = table.titles(str(found["id"]), besides={*taken, *known})
        asking.optional(role, columns)
        taken.update(columns)
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
        self._name, self.table, self._proposal = name, table, proposal
        self.found: Columns = {}

    def required(self, key: str, candidates: Sequence[str], besides: Collection[str] = ()) -> None:
        """Take the only candidate, or ask; without candidates, offer all columns but `besides`."""
        others = [name for name in self.table.names if name not in besides]
        self.choose(key, [{key: x} for x in candidates or others or self.table.names], candidates)

    def required_id(self, key: str, candidates: Sequence[str], besides: Collection[str]) -> None:
        """`required` for columns with one id per cell; DataError if every candidate has lists."""
        options = candidates or [name for name in self.table.names if name not in besides]
        several = [name for name in options if self.table.holds_several(name)]
        if several and (len(several) == len(options) or len(self.table.names) < 2 + len(several)):
            raise DataError(self.table.path, *SEVERAL, column=several[0])
        if not candidates and self._is_matrix(options):
            raise DataError(self.table.path, *_MATRIX)
        single = [name for name in candidates if name not in several]
        self.required(key, single, besides=[*besides, *several])

    def _is_matrix(self, columns: Sequence[str]) -> bool:
        """Whether all of many columns hold the same few numbers, as one for each item would."""
        if len(columns) < _FEWEST_OF_MATRIX:
            return False
        filled = [column for column in columns if len(self.table.present(column))]
        values = pl.concat([self.table.present(column) for column in filled] or [pl.Series()])
        are_few = 0 < values.n_unique() <= _MOST_RATINGS
        return are_few and not any(self.table.unlike("rating", column) for column in filled)

    def optional(self, key: str, candidates: Sequence[str]) -> None:
        """`required`, unless there are no candidates."""
        if candidates:
            self.required(key, candidates)

    def choose(
        self,
        key: str,
        answers: Sequence[Columns],
        certain: Sequence[object] | None = None,
        text: str = "",
    ) -> None:
        """Take the only answer, or ask; with `certain` given, the only one if that has one."""
        if len(answers if certain is None else certain) == 1:
            self.found |= answers[0]
            return
        text = text or f"which column of {self.table.path.name} is the {key}"
        if len(answers) > _MOST_OFFERED:
            text += f" (of {len(answers)}; every row should be one choice of one item by one user)"
        self._proposal.ask_for(self._name, text, answers[:_MOST_OFFERED])

    def ask(self, key: str, text: str, values: Sequence[object]) -> None:
        """Ask for the value of a key."""
        self._proposal.ask(self._name, key, text, values)

    def note(self, columns: Sequence[str], why: str) -> None:
        """Say why columns are not used."""
        file = self.table.path.name
        self._proposal.notes += [f"column {column!r} of {file}: {why}" for column in columns]

    def refuse(self, column: str, why: str) -> None:
        """Ask about a column that looks meant and cannot be used."""
        self._proposal.unread.setdefault(self._name, {})[column] = (
            f"column {column!r} of {self.table.path.name} looks meant, but {why}"
        )

    def note_unreadable(self, role: str, instead: str | None = None) -> None:
        """Ask about columns that have a role by name only, or say that another is used."""
        used = self.found.values()
        for column in self.table.unreadable(role):
            why = self.table.unlike(role, column)
            if role == "event" or instead is not None or role in self.found:
                self.note([column], why)
            elif column not in used:
                self.refuse(column, f"as {role}, {why}")


def _is_headless(table: Sampled) -> bool:
    """Whether the line that should be a header looks like a row.

    One is a moment, as its column holds; or no name in it is known, and one is a number or a value
    of its own column.
    """
    moments = [x for x in table.names if seconds(pl.Series([x])).is_not_null().all()]
    if set(moments) & set(table.dated()):
        return True
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
        found = next(usual, None) if column not in dated else "timestamp"
        found = found or _rated(table, column) or _counted_from_1970(table, column)
        if found in rest:
            rest.remove(found)
        elif found in ("rating", "timestamp", None):
            found = f"column {place}"
        yield found


def _rated(table: Sampled, column: str) -> str | None:
    values = table.present(column)
    few = 1 < values.n_unique() <= _MOST_RATINGS
    return "rating" if few and all(map(_is_plain_number, values.unique())) else None


def _counted_from_1970(table: Sampled, column: str) -> str | None:
    values = table.present(column).cast(pl.Float64, strict=False)
    late = values.null_count() == 0 and bool((values > _LATE).all())
    return "timestamp" if late and not table.unlike("timestamp", column) else None


def _is_plain_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _ask_for_names(name: str, tables: Sequence[Sampled], proposal: Proposal) -> None:
    """Ask for the column names of a file without a header; these are guessed."""
    if tables and not tables[0].headed:
        file = tables[0].path.name
        text = f"what the columns of {file} are called (its first line is no header; correct these)"
        proposal.ask(name, "columns", text, [tables[0].names])
