"""Whose taste is scored: the user's, her session's, both, or nobody's.

The decision is one table (`choose_taste`). Knows nothing about scores or HTTP.

Letters: V views, M modalities, D dimension, N items seen, H items of a history.
"""

# FOLDED service/recommend/context.py: What a request comes down to: whose taste, which items may be shown, and what to own up to.
#
#   Knows ids and rows; knows nothing about scores.
#

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.runtime.fold_in import Vectors
from model.runtime.profile import Profile, ProfileMaker
from model.runtime.top_k import Rows
from service.retrieval.query import Eligible
from service.schemas.requests import RecommendationRequest
from service.schemas.responses import Source
from service.serving.snapshot import Snapshot

STALE = "the store is away: hidden items are as last known, items seen just now may come back"
"""The warning of an answer that could not learn what has changed since the last one."""


State = Literal["not_asked", "known", "unknown_user", "no_history", "unavailable"]


_logger = logging.getLogger(__name__)


def _nothing_seen() -> NDArray[np.int32]:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLookup:
    """What came of looking a user up."""

    state: State
    trouble: str = ""
    """Why the state is not `known`, for the caller of the API."""
    vector_VMD: Vectors | None = None
    seen_N: NDArray[np.int32] = field(default_factory=_nothing_seen)
    recent_ids: Sequence[str] = ()
    """Items that she has seen since the model was made, known to the model or not."""
    hidden_rows: Rows
    """Items that must not be shown to anybody."""
    warnings: Sequence[str] = ()
    """What the answer has to own up to, whoever it is for."""
    history_H: NDArray[np.int32] = field(default_factory=_nothing_seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What is scored, and how that came about."""

    source: Source
    profile: Profile | None
    """None for popular items."""
    histories: Sequence[NDArray[np.integer]]
    """Those that it is made of, with an equal say, each of them oldest first."""
    fallback_reason: str | None
    """Why the user who was asked for could not be used; None if she was, or nobody was asked."""
    warnings: list[str]


async def look_up(snapshot: Snapshot, user_id: str | None) -> UserLookup:
    """Find a user, and what holds this moment; never raises for one who cannot be read."""
    row = None if user_id is None else snapshot.user_ids.row(user_id)
    visit = await snapshot.users.visit(user_id, row)
    now: dict[str, Any] = {"recent_ids": visit.recent_ids, "hidden_rows": visit.hidden_rows}
    if visit.trouble is not None:
        _logger.info("not read: %s", visit.trouble)
        now["warnings"] = [STALE]
    if user_id is None:
        return UserLookup(state="not_asked", **now)
    if row is None:
        return UserLookup(state="unknown_user", trouble=f"user {user_id!r} is not known", **now)
    record = visit.record
    if record is None:
        return UserLookup(
            state="unavailable",
            trouble=f"user {user_id!r} (and what they have seen) could not be read from the store",
            **now,
        )
    if not record.vector_VMD.any():
        return UserLookup(
            state="no_history",
            trouble=f"user {user_id!r} has no usable history",
            seen_N=record.seen_N,
            **now,
        )
    return UserLookup(
        state="known",
        vector_VMD=record.vector_VMD,
        seen_N=record.seen_N,
        history_H=record.history_H,
        **now,
    )


def choose_taste(
    profiles: ProfileMaker, user: UserLookup, session_rows: Rows, *, session_given: bool
) -> Taste:
    """Decide what to score.

    | user          | session usable | scored                  | source  |
    |---------------|----------------|-------------------------|---------|
    | known         | yes            | half user, half session | model   |
    | known         | no             | user                    | model   |
    | anything else | yes            | session                 | session |
    | anything else | no             | nothing                 | popular |
    """
    warnings = [*([user.trouble] if user.trouble else []), *user.warnings]
    session = profiles.of_session(session_rows)
    if session_given and session is None:
        warnings.append("no session item says anything to the model")
    if user.vector_VMD is not None:
        own = profiles.of_user(user.vector_VMD, user.history_H)
        return Taste(
            source="model",
            profile=own if session is None else own.blended_with(session),
            histories=[user.history_H, *([] if session is None else [session_rows])],
            fallback_reason=None,
            warnings=warnings,
        )
    asked = user.state != "not_asked"
    if session is not None:
        if asked:
            warnings.append("these items follow the session alone")
        return Taste(
            source="session",
            profile=session,
            histories=[session_rows],
            fallback_reason=user.state if asked else None,
            warnings=warnings,
        )
    warnings.append("these items are the popular ones")
    return Taste(
        source="popular",
        profile=None,
        histories=[],
        fallback_reason=user.state if asked else "unusable_session",
        warnings=warnings,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A request in terms of one snapshot."""

    request: RecommendationRequest
    taste: Taste
    eligible: Eligible
    missing_ids: list[str]
    """Ids of the request that the model does not know."""
    unavailable_ids: list[str]
    """Candidates that nobody may be shown."""
    warnings: list[str]


def make_plan(snapshot: Snapshot, request: RecommendationRequest, user: UserLookup) -> Plan:
    """Resolve every id and decide what is scored and what is eligible."""
    items = snapshot.items
    session_rows, missing = items.rows(request.session_items)
    taste = choose_taste(
        snapshot.profiles, user, session_rows, session_given=bool(request.session_items)
    )
    excluded_rows, unknown = items.rows(request.exclude)
    missing += unknown
    excluded = [excluded_rows, user.hidden_rows]
    if request.exclude_seen:
        recent_rows, _ = items.rows(user.recent_ids)
        excluded += [session_rows, user.seen_N.astype(np.intp), recent_rows]
    only: list[Rows] = []
    unavailable: list[str] = []
    warnings = list(taste.warnings)
    if request.candidates is not None:
        candidate_rows, unknown = items.rows(request.candidates)
        only.append(candidate_rows)
        missing += unknown
        hidden = candidate_rows[np.isin(candidate_rows, user.hidden_rows)]
        unavailable = [items.ids[row] for row in hidden]
    if request.categories:
        only.append(items.rows_in_any(request.categories))
        warnings += _unheard(snapshot, request.categories)
    return Plan(
        request=request,
        taste=taste,
        eligible=Eligible(len(items), np.concatenate(excluded), only),
        missing_ids=list(dict.fromkeys(missing)),
        unavailable_ids=unavailable,
        warnings=warnings,
    )


def _unheard(snapshot: Snapshot, categories: Sequence[str]) -> list[str]:
    known = snapshot.items.rows_of_category
    return [f"no item is in category {name!r}" for name in categories if name not in known]
