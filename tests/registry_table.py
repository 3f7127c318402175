"""The transitions of published versions as a table: what Redis holds before and after each.

The pure state machine and both of its drivers are tested by it. Keys and values are literal: they
are what the releases before this state machine wrote and read.
"""

from dataclasses import dataclass, field
from typing import Any

BEGUN = "2026-01-01T12:00:00Z"
CANARY = (
    '{"version":"v2","share":0.1,"started_at":"2026-01-01T12:00:00Z",'
    '"ended_at":null,"outcome":null,"reason":""}'
)
ENDED = (
    '{"version":"v2","share":0.1,"started_at":"2026-01-01T12:00:00Z",'
    '"ended_at":"2026-01-01T13:00:00Z","outcome":"stopped","reason":"enough"}'
)
VERSIONS = {"v1": 100.0, "v2": 200.0, "v3": 300.0}
LIVE = {"current": "v3", "previous": "v2"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One transition in one state."""

    name: str
    pointers: dict[str, str] = field(default_factory=lambda: dict(LIVE))
    """`mg:{default}:<name>` -> value."""
    versions: dict[str, float] = field(default_factory=lambda: dict(VERSIONS))
    does: str
    """The method of a driver."""
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    leads_to: dict[str, str | None] = field(default_factory=dict)
    """Pointers that change; None: the key goes."""
    canary: dict[str, Any] | None = None
    """Fields of the canary that change."""
    announces: str | None = None
    refused: str = ""
    """Part of the message."""


def _row(name: str, does: str, *arguments: Any, **fields: Any) -> Row:
    return Row(name=name, does=does, arguments=arguments, **fields)


PIN, NO_PIN = {"pin": True}, {"pin": False}
TRIED = LIVE | {"canary": CANARY}

SHARED = [
    _row(
        "an older version is activated", "activate", "v1", options=NO_PIN,
        leads_to={"current": "v1", "previous": "v3"}, announces="v1",
    ),
    _row(
        "and pinned", "activate", "v1", options=PIN,
        leads_to={"current": "v1", "previous": "v3", "pinned": "v1"}, announces="v1",
    ),
    _row(
        "the live one is pinned", "activate", "v3", options=PIN,
        leads_to={"pinned": "v3"}, announces="v3",
    ),
    _row(
        "a pin is lifted by activating another", "activate", "v2", options=NO_PIN,
        pointers=LIVE | {"pinned": "v3"},
        leads_to={"current": "v2", "previous": "v3", "pinned": None}, announces="v2",
    ),
    _row("nothing changes", "activate", "v3", options=NO_PIN, announces="v3"),
    _row(
        "the first one is activated", "activate", "v1", options=NO_PIN, pointers={},
        leads_to={"current": "v1"}, announces="v1",
    ),
    _row(
        "the live one is pinned though it is not listed", "activate", "v0", options=PIN,
        pointers={"current": "v0"}, leads_to={"pinned": "v0"}, announces="v0",
    ),
    _row(
        "an unknown one is not activated", "activate", "v9", options=NO_PIN,
        refused="there is no version 'v9' in namespace 'default'",
    ),
    _row(
        "a name that cannot be a key is not activated", "activate", "v 9", options=NO_PIN,
        refused="there is no version 'v 9'",
    ),
    _row(
        "activating the canary promotes it", "activate", "v2", options=NO_PIN, pointers=TRIED,
        leads_to={"current": "v2", "previous": "v3"},
        canary={"outcome": "promoted", "reason": "v2 went live"}, announces="v2",
    ),
    _row(
        "activating another ends the canary", "activate", "v1", options=NO_PIN, pointers=TRIED,
        leads_to={"current": "v1", "previous": "v3"},
        canary={"outcome": "superseded", "reason": "v1 went live"}, announces="v1",
    ),
    _row(
        "a pin ends the canary", "activate", "v3", options=PIN, pointers=TRIED,
        leads_to={"pinned": "v3"},
        canary={"outcome": "superseded", "reason": "v3 was pinned"}, announces="v3",
    ),
    _row(
        "activating the live one leaves the canary", "activate", "v3", options=NO_PIN,
        pointers=TRIED, announces="v3",
    ),
    _row(
        "an ended canary stays as it is", "activate", "v1", options=NO_PIN,
        pointers=LIVE | {"canary": ENDED},
        leads_to={"current": "v1", "previous": "v3"}, announces="v1",
    ),
    _row("a pin is lifted", "unpin", pointers=LIVE | {"pinned": "v3"}, leads_to={"pinned": None}),
    _row("there is no pin to lift", "unpin"),
    _row(
        "a canary is started", "start_canary", "v2", 0.1,
        canary={"version": "v2", "share": 0.1, "outcome": None}, announces="v2",
    ),
    _row(
        "after one that has ended", "start_canary", "v1", 0.2,
        pointers=LIVE | {"canary": ENDED},
        canary={"version": "v1", "share": 0.2, "outcome": None, "reason": "", "ended_at": None},
        announces="v1",
    ),
    _row(
        "after one that this release cannot read", "start_canary", "v1", 0.2,
        pointers=LIVE | {"canary": '{"of":"another release"}'},
        canary={"version": "v1", "share": 0.2, "outcome": None}, announces="v1",
    ),
    _row(
        "its share is changed", "start_canary", "v2", 0.3, pointers=TRIED,
        canary={"share": 0.3, "started_at": BEGUN}, announces="v2",
    ),
    _row("with the share that it has", "start_canary", "v2", 0.1, pointers=TRIED),
    _row("unknown", "start_canary", "v9", 0.1, refused="there is no version 'v9'"),
    _row("live", "start_canary", "v3", 0.1, refused="'v3' is live"),
    _row("nothing is live", "start_canary", "v1", 0.1, pointers={}, refused="nothing is live yet"),
    _row(
        "pinned", "start_canary", "v1", 0.1, pointers=LIVE | {"pinned": "v3"},
        refused="'v3' is pinned",
    ),
    _row(
        "another runs", "start_canary", "v1", 0.1, pointers=TRIED,
        refused="'v2' is the canary already, for 10% of the users",
    ),
    *(
        _row(f"a share of {share}", "start_canary", "v1", share, refused="above 0 and at most 0.5")
        for share in (0.0, -1.0, 0.51, float("nan"), float("inf"))
    ),
    _row(
        "a canary is stopped", "end_canary", "stopped", "enough", pointers=TRIED,
        canary={"outcome": "stopped", "reason": "enough"}, announces="v2",
    ),
    _row("none runs", "end_canary", "stopped", "enough"),
    _row(
        "it has ended already", "end_canary", "stopped", "again",
        pointers=LIVE | {"canary": ENDED},
    ),
]  # fmt: skip
"""What both drivers offer."""

TRAINING_ONLY = [
    _row(
        "back to the one before", "roll_back",
        leads_to={"current": "v2", "previous": "v3", "pinned": "v2"}, announces="v2",
    ),
    _row(
        "going back ends the canary", "roll_back", pointers=TRIED | {"previous": "v1"},
        leads_to={"current": "v1", "previous": "v3", "pinned": "v1"},
        canary={"outcome": "superseded", "reason": "v1 was pinned"}, announces="v1",
    ),
    _row("nothing live to go back from", "roll_back", pointers={}, refused="no version before"),
    _row("none before", "roll_back", pointers={"current": "v3"}, refused="no version before"),
    _row(
        "the one before is the live one", "roll_back", refused="no version before",
        pointers={"current": "v3", "previous": "v3"},
    ),
    _row(
        "the one before was pruned", "roll_back", pointers=LIVE | {"previous": "v0"},
        refused="there is no version 'v0'",
    ),
    _row(
        "twice", "roll_back", pointers=LIVE | {"pinned": "v3"}, refused="v3 is pinned already",
    ),
    _row("the live one is pinned", "pin", leads_to={"pinned": "v3"}, announces="v3"),
    _row(
        "a pin ends the canary", "pin", pointers=TRIED, leads_to={"pinned": "v3"},
        canary={"outcome": "superseded", "reason": "v3 was pinned"}, announces="v3",
    ),
    _row("nothing to pin", "pin", pointers={}, refused="nothing is live yet"),
]  # fmt: skip
