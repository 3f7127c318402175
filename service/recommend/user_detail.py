"""What is known of a user: their history, their latest events, and what follows from them.

Letters: N items of the top list, K experts, V views, M modalities, H items of the history.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import orjson

from model.runtime.profile import History, Profile
from service.recommend.adjustments import sum_of_points
from service.recommend.dislikes import of_dislikes
from service.recommend.explanation import named, plain, plain_numbers
from service.recommend.live import LiveItems, live_items
from service.recommend.resolution import choose_profile, known_rows, num_used, spelling_of
from service.retrieval.query import Eligible, Query
from service.schemas.errors import UnknownUser, UserUnavailable
from service.schemas.paging import cursor_of, place_of
from service.schemas.responses import (
    CategoryShare,
    LiveEventRecord,
    Taste,
    UserDetail,
    UserItem,
    UsualExpert,
)
from service.schemas.warned import told
from service.serving.served import Served
from service.serving.snapshot import Snapshot
from service.store.live_events import LiveEvent
from service.store.users import UserState

TOP = 50
"""Items of the list that the taste is that of."""
MAX_CATEGORIES = 10
_NO_ROWS = np.empty(0, dtype=np.intp)


def user_detail(
    served: Served, user: UserState, limit: int, cursor: str | None = None
) -> UserDetail:
    """What model and Redis know of a user. Blocking.

    Args:
        served: the model that serves them.
        user: as read now.
        limit: most items of the history, and most events.
        cursor: of the page before.

    Raises:
        InvalidRequest: the cursor is that of another listing.
        UnknownUser: neither knows them.
        UserUnavailable: Redis cannot be read, and what it knows is not at hand.
    """
    _check_known(user)
    snapshot = served.snapshot
    live = live_items(snapshot, user)
    choice = choose_profile(snapshot.profiles, user, _NO_ROWS, live, session_given=False)
    history_H = choice.histories[0] if choice.histories else _NO_ROWS
    profile = choice.profile
    last = place_of("user", cursor, tuple[str, int, float, str])
    older_H = history_H if last is None else _older(snapshot, history_H, last[0], last[1])
    events = [each for each in user.events if last is None or _order(each) < last[2:]]
    return UserDetail(
        model_version=snapshot.version,
        variant=served.variant,
        user_id=user.user_id or "",
        in_model=user.in_model,
        source=choice.source,
        live_events=num_used(live, user, choice),
        **told(choice.warnings),
        history=_history(snapshot, older_H, live, limit),
        history_items=len(history_H),
        events=_events(snapshot, events[:limit]),
        next_cursor=_next(snapshot, older_H, events, limit),
        taste=None if profile is None else _taste(snapshot, user, live, profile, history_H),
    )


def _check_known(user: UserState) -> None:
    is_unread = user.trouble is not None
    if is_unread and (user.record is None or not user.in_model):
        raise UserUnavailable(
            f"what is known of user {user.user_id!r} could not be read from the store; try again"
        )
    if not (user.in_model or user.events):
        assert user.user_id is not None
        raise UnknownUser(
            f"user {user.user_id!r} is not known, neither to the model nor by events"
            f"{spelling_of(user.user_id)}"
        )


def _history(snapshot: Snapshot, history_H: History, live: LiveItems, limit: int) -> list[UserItem]:
    """The newest items of the history, newest first."""
    items, new = snapshot.items, {*live.liked.tolist()}
    return [
        UserItem(item_id=items.ids[row], title=items.title(row), live=row in new)
        for row in history_H[::-1][:limit].tolist()
    ]


def _order(event: LiveEvent) -> tuple[float, str]:
    """By which events stand, newest last: as Redis has them."""
    return event.at, f"{event.type} {event.item_id}"


def _older(snapshot: Snapshot, history_H: History, item_id: str, left: int) -> History:
    """What is older than an item of a history, or the `left` oldest if it has gone from there."""
    places = np.flatnonzero(history_H == snapshot.items.ids.row(item_id))
    return history_H[: places[0] if len(places) else max(0, left)]


def _next(
    snapshot: Snapshot, history_H: History, events: Sequence[LiveEvent], limit: int
) -> str | None:
    """The cursor behind the newest of some items and events."""
    left = len(history_H) - limit
    if left <= 0 and len(events) <= limit:
        return None
    item_id = snapshot.items.ids[int(history_H[left])] if left > 0 else ""
    last = (0.0, "") if len(events) <= limit else _order(events[limit - 1])
    return cursor_of("user", item_id, max(0, left), *last)


def _events(snapshot: Snapshot, events: Sequence[LiveEvent]) -> list[LiveEventRecord]:
    """Events as people see them, also of items that the model does not have."""
    items = snapshot.items
    found: list[LiveEventRecord] = []
    for event in events:
        row = items.ids.row(event.item_id)
        found.append(
            LiveEventRecord(
                item_id=event.item_id,
                title=None if row is None else items.title(row),
                type=event.type,
                received_at=datetime.fromtimestamp(event.at / 1000, UTC),
            )
        )
    return found


def _taste(
    snapshot: Snapshot, user: UserState, live: LiveItems, profile: Profile, history_H: History
) -> Taste | None:
    """What the best items that the user has not seen are good for; None if there are none."""
    left_out = np.concatenate([known_rows(user, live, _NO_ROWS), user.hidden_rows])
    eligible = Eligible(len(snapshot.items), left_out)
    if not len(eligible):
        return None
    points_I = sum_of_points(of_dislikes(snapshot, live))
    (best,) = snapshot.retriever.best([Query(profile, eligible, TOP, points_I)])
    breakdown = snapshot.scorer.explain(profile, best.rows)
    modality_M = np.maximum(breakdown.contribution_CKVM.sum(axis=(1, 2)).mean(axis=0), 0)
    modality_M /= max(float(modality_M.sum()), 1e-12)
    weights = plain_numbers(breakdown.weight_CK.mean(axis=0))
    experts = [
        UsualExpert(name=spec.name, role=spec.role, modality=spec.modality, weight=weight)
        for spec, weight in zip(snapshot.manifest.experts, weights, strict=True)
        if weight > 0
    ]
    return Taste(
        by_modality=named(snapshot.manifest.modalities, modality_M),
        categories=_categories(snapshot, history_H),
        experts=sorted(experts, key=lambda expert: -expert["weight"]),
        items=len(best.rows),
    )


def _categories(snapshot: Snapshot, history_H: History) -> list[CategoryShare]:
    """The leading categories; an item counts once, in equal parts for each of its own."""
    share_of: defaultdict[str, float] = defaultdict(float)
    counted = 0
    for row in history_H.tolist():
        own = orjson.loads(snapshot.items.metadata.raw(row)).get("categories", [])
        counted += bool(own)
        for name in own:
            share_of[name] += 1 / len(own)
    return [
        CategoryShare(name=name, share=plain(share / counted))
        for name, share in sorted(share_of.items(), key=lambda pair: (-pair[1], pair[0]))
    ][:MAX_CATEGORIES]
