"""What a request comes down to: whose taste, which items may be shown, and what to own up to.

Knows ids and rows; knows nothing about scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.eligible import Eligible
from service.ranking import Rows
from service.requests import RecommendationRequest
from service.snapshot import Snapshot
from service.taste import Taste, UserLookup, choose_taste


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
