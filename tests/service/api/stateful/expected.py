"""What must be true of the service, in plain Python: no arrays, no Redis, no time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model.registry.canary import Canary

LIKES = ("click", "like", "purchase")
DISLIKES = ("dislike", "hide", "return")
KINDS = (*LIKES, *DISLIKES, "view", "impression", "undo")


@dataclass(frozen=True)
class Version:
    """What one published model knows."""

    items: frozenset[str]
    seen: Mapping[str, frozenset[str]]
    """Items that each of its users has interacted with."""
    history: Mapping[str, Sequence[str]]
    """Those that count, oldest first."""


@dataclass
class Expected:
    """The state of the product after some calls that were answered with 2xx."""

    versions: Mapping[str, Version]
    published: list[str] = field(default_factory=list)
    live: str = ""
    pinned: str | None = None
    canary: Canary | None = None
    """The one that runs."""
    titles: dict[str, str] = field(default_factory=dict)
    """Of the items that were put or changed."""
    retired: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    events: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Type and item of what each user did, oldest first."""
    reported: set[str] = field(default_factory=set)

    def version_of(self, user: str) -> str:
        """The version that serves a user."""
        if self.canary is not None and self.canary.takes(user):
            return self.canary.version
        return self.live

    def go_live(self, version: str, *, pinned: str | None) -> None:
        """Make a version live."""
        if version != self.live or pinned is not None:
            self.canary = None
        self.live, self.pinned = version, pinned

    def report(self, event_id: str, user: str, kind: str, item: str) -> None:
        """Note an event, unless it was reported before."""
        if event_id not in self.reported:
            self.reported.add(event_id)
            done = self.events.setdefault(user, [])
            if kind != "impression":
                if (kind, item) in done:
                    done.remove((kind, item))
                done.append((kind, item))

    def erase(self, user: str) -> None:
        """Forget a user."""
        self.erased.add(user)
        self.events.pop(user, None)

    def items_of(self, version: str) -> set[str]:
        """Those that a version can show, hidden or not."""
        base = self.versions[version].items
        return base | {item for item in self.titles if item not in self.retired}

    def in_model(self, user: str) -> bool:
        """Whether the version that serves a user knows them."""
        return user in self.versions[self.version_of(user)].seen and user not in self.erased

    def words(self, user: str) -> dict[str, str]:
        """The latest type that says something about each item: newest first."""
        known, latest = self.items_of(self.version_of(user)), {}
        for kind, item in reversed(self.events.get(user, [])):
            if item in known and kind != "view":
                latest.setdefault(item, kind)
        return latest

    def liked(self, user: str) -> set[str]:
        """Items whose latest word is a like."""
        return {item for item, kind in self.words(user).items() if kind in LIKES}

    def history(self, user: str) -> set[str]:
        """What lists of a user are made of."""
        own = self.versions[self.version_of(user)].history[user] if self.in_model(user) else ()
        return ({*own} - self.words(user).keys()) | self.liked(user)

    def seen(self, user: str) -> set[str]:
        """What `exclude_seen` leaves out."""
        latest: dict[str, str] = {}
        for kind, item in self.events.get(user, []):
            latest[item] = kind
        undone = {item for item, kind in self.words(user).items() if kind == "undo"}
        own = self.versions[self.version_of(user)].seen[user] if self.in_model(user) else set()
        return (own - undone) | {item for item, kind in latest.items() if kind != "undo"}

    def live_events(self, user: str, *, scored: bool) -> int:
        """How many events a list of a user is made with."""
        words = self.words(user)
        own = self.versions[self.version_of(user)].history[user] if self.in_model(user) else ()
        disliked = sum(kind in DISLIKES for kind in words.values())
        taken_back = sum(kind == "undo" and item in own for item, kind in words.items())
        return disliked + taken_back + (len(self.liked(user)) if scored else 0)

    def list_of(self, user: str) -> set[str]:
        """The items of a list that is as long as the catalogue."""
        shown = self.items_of(self.version_of(user)) - self.hidden - self.retired
        return shown - self.seen(user)
