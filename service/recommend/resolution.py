"""Resolution: what a request scores, which items it may show, and what it has to warn of.

Letters: H items of a history.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self
from unicodedata import is_normalized

import numpy as np
from numpy.typing import NDArray

from model.runtime.profile import History, Profile, ProfileMaker, Vectors
from model.runtime.top_k import Rows
from service.recommend.adjustments import ItemPoints, sum_of_points
from service.recommend.conditions import Conditions
from service.recommend.dislikes import of_dislikes
from service.recommend.live import NOTHING, LiveItems, live_items
from service.recommend.rules import NO_ROWS, PinnedItem, apply_rules, of_categories
from service.retrieval.query import Eligible, Floats
from service.schemas.errors import InvalidRequest, UnknownItem
from service.schemas.requests import RecommendationRequest
from service.schemas.responses import Source
from service.schemas.rules import NO_RULES, MaxPer
from service.schemas.warned import Warned
from service.serving.served import Served
from service.serving.snapshot import Snapshot
from service.store.hidden import is_among
from service.store.users import UserRecord, UserState

STALE = (
    "the store cannot be reached: hidden items and default rules may be out of date, "
    "seen items may come back, events since the model was made do not count"
)
"""The warning of an answer whose user could not be read anew."""

Status = Literal["not_asked", "known", "unknown_user", "no_history", "unavailable"]

_logger = logging.getLogger(__name__)


async def read_user(snapshot: Snapshot, user_id: str | None) -> UserState:
    """The state of a user, or of nobody in particular; never raises for one who cannot be read."""
    row = None if user_id is None else snapshot.user_ids.row(user_id)
    user = await snapshot.users.state(user_id, row, snapshot.items.ids)
    if user.trouble is not None:
        _logger.info("not read: %s", user.trouble)
    return user


def status_of(user: UserState) -> tuple[Status, str]:
    """Whether a user's history can be scored; if not, why, for the caller of the API."""
    name = f"user {user.user_id!r}"
    if user.user_id is None:
        return "not_asked", ""
    if not user.in_model:
        return "unknown_user", f"{name} is not known{spelling_of(user.user_id)}"
    if user.record is None:
        return "unavailable", f"{name} and their history could not be read from the store"
    if not user.record.vector_VMD.any():
        return "no_history", f"{name} has no usable history"
    return "known", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChoice:
    """Whose profile is scored, and why."""

    source: Source
    profile: Profile | None
    """None for popular items."""
    histories: Sequence[NDArray[np.integer]] = ()
    """Those that the profile is made of, with equal weight; each is oldest first."""
    fallback_reason: str | None
    """Why the user who was asked for could not be used; None if they were, or nobody was asked."""
    warnings: list[Warned]

    def popularity_times(self, snapshot: Snapshot) -> float:
        """How many times its popularity bias is added to an item's score, see `Magnet`.

        Of users who are not in the model it says the more, the fewer of their items are known.
        """
        more = snapshot.manifest.newcomer_popularity
        if not more or self.source not in ("live", "session"):
            return 0.0
        return more / sum(map(len, self.histories))

    def popularity(self, snapshot: Snapshot) -> Floats | None:
        """What that is for every item [I]; None for nothing."""
        times = self.popularity_times(snapshot)
        return np.float32(times) * snapshot.items.popularity_bias() if times else None

    def without(self, names: Sequence[str], snapshot: Snapshot) -> Self:
        """The same, as if some modalities said nothing."""
        if self.profile is None or not names:
            return self
        modalities = snapshot.manifest.modalities
        return replace(self, profile=self.profile.without([*map(modalities.index, names)]))


def check_modalities(snapshot: Snapshot, names: Sequence[str], place: str = "") -> None:
    """InvalidRequest, if a modality to be left out is none of the model's.

    `place` is what the names of faulty fields begin with.
    """
    known = snapshot.manifest.modalities
    for unknown in [name for name in names if name not in known]:
        raise InvalidRequest.of(
            f"{place}without_modalities", f"{unknown!r} is not one of {', '.join(known)}"
        )


def choose_profile(
    profiles: ProfileMaker,
    user: UserState,
    session_rows: Rows,
    live: LiveItems = NOTHING,
    *,
    session_given: bool,
) -> ProfileChoice:
    """Decide what to score.

    | user                       | session usable | scored                            | source  |
    |----------------------------|----------------|-----------------------------------|---------|
    | known                      | yes            | half user and events, half session | model  |
    | known                      | no             | user and events                   | model   |
    | not known, but by events   | yes            | half events, half session         | live    |
    | not known, but by events   | no             | events                            | live    |
    | anything else              | yes            | session                           | session |
    | anything else              | no             | nothing                           | popular |
    """
    status, fault = status_of(user)
    own = _own(profiles, user, live, status)
    if own is None and status == "known":
        status, fault = "no_history", f"user {user.user_id!r} has taken all of their history back"
    warnings = []
    if own is None and status != "not_asked" and status != "known":
        warnings.append(Warned(status, fault))
    if user.trouble is not None:
        warnings.append(Warned("stale", STALE))
    session = profiles.of_session(session_rows)
    if session_given and session is None:
        words = "the model can use none of the session items"
        warnings.append(Warned("unusable_session", words))
    if own is not None:
        source, profile, history_H = own
        return ProfileChoice(
            source=source,
            profile=profile if session is None else profile.blended_with(session),
            histories=[history_H] if session is None else [history_H, session_rows],
            fallback_reason=None,
            warnings=warnings,
        )
    asked = status != "not_asked"
    if session is not None:
        if asked:
            warnings.append(Warned("session_only", "these items are based on the session only"))
        return ProfileChoice(
            source="session",
            profile=session,
            histories=[session_rows],
            fallback_reason=status if asked else None,
            warnings=warnings,
        )
    return ProfileChoice(
        source="popular",
        profile=None,
        fallback_reason=status if asked else "unusable_session",
        warnings=[*warnings, Warned("popular", "these are popular items")],
    )


def _own(
    profiles: ProfileMaker, user: UserState, live: LiveItems, status: Status
) -> tuple[Source, Profile, History] | None:
    """What the user's history and events make, and the history that this is; None for nothing."""
    if status == "known":
        assert user.record is not None
        record = user.record
        if live is NOTHING:  # the usual request
            profile = profiles.of_user(record.vector_VMD, record.history_H)
            return "model", profile, record.history_H
        # Made anew, it reads the rows of the whole history, which nothing else does.
        vector_VMD, now_H = live.memo.get(None, lambda: _changed(profiles, record, live))
        if not vector_VMD.any():
            return None
        return "model", profiles.of_user(vector_VMD, now_H), now_H
    of_events = profiles.of_session(live.liked)
    return None if of_events is None else ("live", of_events, live.liked)


def _changed(
    profiles: ProfileMaker, record: UserRecord, live: LiveItems
) -> tuple[Vectors, History]:
    """The vector and the history that live events make of a record."""
    now_H = live.changed(record.history_H)
    if now_H is record.history_H:
        return record.vector_VMD, now_H
    return profiles.changed(record.vector_VMD, record.history_H, now_H), now_H


def item_row(snapshot: Snapshot, item_id: str) -> int:
    """The row of an item; UnknownItem."""
    row = snapshot.items.ids.row(item_id)
    if row is None:
        where = f"is not in model version {snapshot.version}"
        raise UnknownItem(f"item {item_id!r} {where}{spelling_of(item_id)}")
    return row


def spelling_of(unknown_id: str) -> str:
    """Why an id may be unknown that looks like a known one."""
    if is_normalized("NFC", unknown_id):
        return ""
    return "; ids are compared byte for byte, and this one is not in Unicode's usual form NFC"


def known_rows(user: UserState, live: LiveItems, session_rows: Rows) -> Rows:
    """Items that the user has interacted with, before the model was made or since, or just now."""
    seen = [] if user.record is None else [user.record.seen_N.astype(np.intp)]
    if seen and len(live.undone):
        seen = [np.setdiff1d(seen[0], live.undone)]
    return np.concatenate([session_rows, live.seen, *seen])


def num_used(live: LiveItems, user: UserState, choice: ProfileChoice) -> int:
    """How many of a user's events an answer is made with."""
    if live is NOTHING:
        return 0
    history_H = None if user.record is None else user.record.history_H
    return live.num_used(history_H, scored=choice.source in ("model", "live"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRequest:
    """A request in terms of one model version."""

    served: Served
    request: RecommendationRequest
    choice: ProfileChoice
    conditions: Conditions
    eligible: Eligible
    """What meets them."""
    missing_ids: list[str]
    """Ids of the request that the model does not know."""
    unavailable_ids: list[str]
    """Candidates and pins that nobody may be shown."""
    warnings: list[Warned]
    adjustments: Sequence[ItemPoints] = ()
    """What is added to the scores of items."""
    popular_I: Floats | None = None
    """What popularity says beyond the items' bias."""
    live_events: int = 0
    """How many events since the model was made the answer is made with."""
    pins: Sequence[PinnedItem] = ()
    """By rank."""
    limits: Sequence[MaxPer] = ()

    @property
    def profile(self) -> Profile:
        """What is scored, unless popular items are the answer."""
        assert self.choice.profile is not None
        return self.choice.profile

    @property
    def points_I(self) -> Floats | None:
        """What every score has beside what the model says of known users; None for nothing."""
        return sum_of_points(self.adjustments, self.popular_I)

    def bias(self, rows_N: Rows) -> Floats:
        """Of some items' scores, what is the same for all users of whom as much is known."""
        return bias(self.served.snapshot, self.popular_I, rows_N)


def bias(snapshot: Snapshot, popular_I: Floats | None, rows_N: Rows) -> Floats:
    """The bias of some items [N], with what popularity says beyond it."""
    bias_N: Floats = snapshot.items.bias_I.take(rows_N)
    return bias_N if popular_I is None else bias_N + popular_I[rows_N]


def resolve(served: Served, request: RecommendationRequest, user: UserState) -> ResolvedRequest:
    """Look every id up, and decide what is scored and what is eligible."""
    items = served.snapshot.items
    session_rows, missing = items.rows(request.session_items)
    live = live_items(served.snapshot, user)
    choice = choose_profile(
        served.snapshot.profiles,
        user,
        session_rows,
        live,
        session_given=bool(request.session_items),
    ).without(request.without_modalities, served.snapshot)
    excluded_rows, unknown = items.rows(request.exclude)
    missing += unknown
    candidate_rows: Rows | None = None
    unavailable: list[str] = []
    if request.candidates is not None:
        candidate_rows, unknown = items.rows(request.candidates)
        missing += unknown
        hidden = candidate_rows[is_among(candidate_rows, user.hidden_rows)]
        unavailable = [items.ids[row] for row in hidden]
    rules = apply_rules(
        items,
        request,
        user.default_rules if request.default_rules else NO_RULES,
        hidden_rows=user.hidden_rows,
        excluded_rows=excluded_rows,
    )
    conditions = Conditions(
        num_items=len(items),
        deleted=items.ids.gone_rows,
        candidates=candidate_rows,
        categories=items.rows_in_any(request.categories) if request.categories else None,
        filters=rules.within_I,
        excluded=excluded_rows,
        hidden=user.hidden_rows,
        seen=known_rows(user, live, session_rows) if request.exclude_seen else NO_ROWS,
        pinned=np.array([pin.row for pin in rules.pins], dtype=np.intp),
    )
    return ResolvedRequest(
        served=served,
        request=request,
        choice=choice,
        conditions=conditions,
        eligible=conditions.eligible(),
        missing_ids=list(dict.fromkeys([*missing, *rules.missing_ids])),
        unavailable_ids=list(dict.fromkeys([*unavailable, *rules.unavailable_ids])),
        warnings=[
            *choice.warnings,
            *of_categories(items, request.categories),
            *rules.warnings,
        ],
        adjustments=[*rules.boosts, *of_dislikes(served.snapshot, live)],
        popular_I=choice.popularity(served.snapshot),
        live_events=num_used(live, user, choice),
        pins=rules.pins,
        limits=rules.limits,
    )
