"""What the columns of one table seem to be.

Knows what a table of interactions and a table of items consist of; knows nothing about other files.
"""

from collections.abc import Collection, Sequence

from model.contract.pictures import PICTURE_FOLDER, SUFFIXES
from training.intake.proposal import Proposal
from training.intake.sampled import Sampled

Columns = dict[str, object]
_DISLIKES = frozenset(
    {"dislike", "downvote", "unlike", "return", "refund", "skip", "remove", "hide", "cancel"}
)

_MOST_OFFERED = 12
"""Columns that a question lists."""


def interaction_columns(table: Sampled, items: Sequence[str], proposal: Proposal) -> Columns:
    """Keys of `[interactions]`; `items` are the columns that may be the item's id."""
    found: Columns = {}
    asking = _Asking("interactions", table, proposal, found)
    users = table.candidates("user")
    asking.required("user", users, besides=[*items, *table.dated()])
    asking.required("item", items, besides=[*users, *table.dated()])
    if not asking.optional("rating", table.candidates("rating")):
        _events_or_counts(table, asking, found)
    asking.optional("timestamp", table.candidates("timestamp") or table.dated())
    asking.optional("label", table.candidates("label"))
    if "timestamp" in found:
        order = table.order(str(found["timestamp"]))
        if order == "unclear":
            text = "whether 03/04/2024 is in March or in April"
            proposal.ask("interactions", "dates", text, ["day-first", "month-first"])
        elif order is not None:
            found["dates"] = order
    return found


def item_columns(table: Sampled, ids: Sequence[str], proposal: Proposal) -> Columns:
    """Keys of `[items]`; `ids` are the columns that may be the item's id."""
    found: Columns = {}
    _Asking("items", table, proposal, found).required("id", ids)
    taken = set(ids)
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
    if "id" in found and _has_pictures(table, str(found["id"])):
        found["picture_folder"] = PICTURE_FOLDER
    return found


def id_pair(table: Sampled, interactions: Sequence[str]) -> Columns:
    """The column that the interactions have too, and the other: the id by which others know it."""
    inner = next((name for name in table.names if name in interactions), table.names[-1])
    outer = next((name for name in table.names if name != inner), inner)
    return {"id": inner, "public_id": outer}


def _events_or_counts(table: Sampled, asking: "_Asking", found: Columns) -> None:
    if asking.optional("event", table.candidates("event")):
        if "event" in found:
            kinds = table.kinds(str(found["event"]))
            found["weights"] = {kind: 0 if _plain(kind) in _DISLIKES else 1 for kind in kinds}
    elif asking.optional("rating", table.candidates("count")):
        found |= {"min_rating": 1, "repeats": "sum"}  # every count is a like


def _plain(kind: str) -> str:
    return kind.lower().replace("_", "").replace("-", "").replace(" ", "")


def _has_pictures(table: Sampled, column: str) -> bool:
    folder = table.path.parent / PICTURE_FOLDER
    if not folder.is_dir():
        return False
    named = {path.stem for path in folder.iterdir() if path.suffix.lower() in SUFFIXES}
    return not named.isdisjoint(table.rows[column])


class _Asking:
    """Settles what is clear and asks for the rest."""

    def __init__(self, name: str, table: Sampled, proposal: Proposal, found: Columns) -> None:
        self._name, self._table, self._proposal, self._found = name, table, proposal, found

    def required(self, key: str, candidates: Sequence[str], besides: Collection[str] = ()) -> None:
        """One of the candidates or, if there are none, of the columns `besides` some others."""
        if len(candidates) == 1:
            self._found[key] = candidates[0]
            return
        others = [name for name in self._table.names if name not in besides]
        offered = list(candidates or others or self._table.names)
        text = f"which column of {self._table.path.name} is the {key}"
        if len(offered) > _MOST_OFFERED:
            text += f" (of {len(offered)}; every row should be one choice of one item by one user)"
        self._proposal.ask(self._name, key, text, offered[:_MOST_OFFERED])

    def optional(self, key: str, candidates: Sequence[str]) -> bool:
        """Whether there is such a column, be it clear which or not."""
        if candidates:
            self.required(key, candidates)
        return bool(candidates)
