import numpy as np
import pytest

from model.runtime.item_item import ItemItemModel
from model.runtime.profile import ProfileMaker
from service.recommend.resolution import choose_profile
from service.store.users import UserRecord, UserState

NO_ROWS = np.empty(0, dtype=np.intp)
HISTORY = np.array([0], dtype=np.int32)
USER_VMD = np.array([[[1, 0]]], dtype=np.float32)
RECORD = UserRecord(vector_VMD=USER_VMD, seen_N=HISTORY, history_H=HISTORY)


def user(user_id: str | None, record: UserRecord | None = None, *, known: bool) -> UserState:
    return UserState(user_id=user_id, in_model=known, record=record, hidden_rows=NO_ROWS)


KNOWN = user("u", RECORD, known=True)
UNKNOWN = user("x", known=False)
NOT_ASKED = user(None, known=False)
UNREAD = user("u", known=True)
EMPTY = user(
    "u", UserRecord(vector_VMD=0 * USER_VMD, seen_N=HISTORY, history_H=HISTORY[:0]), known=True
)
SESSION, MUTE = np.array([1]), np.array([2])

# Item 0 says something for item 2, item 1 says against it; item 2 has no row.
PROFILES = ProfileMaker(
    foldin_IVMD=np.array([[[[3, 0]]], [[[0, 2]]], [[[0, 0]]]], dtype=np.float32),
    length_IG=np.array([[3], [2], [0]], dtype=np.float32),
    item_item=ItemItemModel(
        np.array([0, 1, 2, 2]),
        np.array([2, 2], dtype=np.int32),
        np.array([0.5, -0.1], dtype=np.float32),
    ),
    recency_power=0.0,
)


@pytest.mark.parametrize(
    ("user", "session", "source", "vector", "said", "histories", "reason"),
    [
        (KNOWN, SESSION, "model", [0.5, 0.5], 0.2, [[0], [1]], None),
        (KNOWN, MUTE, "model", [1, 0], 0.5, [[0]], None),
        (UNKNOWN, SESSION, "session", [0, 1], -0.1, [[1]], "unknown_user"),
        (NOT_ASKED, SESSION, "session", [0, 1], -0.1, [[1]], None),
    ],
)
def test_what_is_scored(user, session, source, vector, said, histories, reason) -> None:
    choice = choose_profile(PROFILES, user, session, session_given=True)
    assert (choice.source, choice.fallback_reason) == (source, reason)
    assert choice.profile.vector_VMD.tolist() == [[vector]]
    assert choice.profile.item_item.at(np.arange(3)) == pytest.approx([0, 0, said])
    assert [history.tolist() for history in choice.histories] == histories


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (UNKNOWN, "unknown_user"),
        (NOT_ASKED, "unusable_session"),
        (UNREAD, "unavailable"),
        (EMPTY, "no_history"),
    ],
)
def test_of_nobody_nothing_is_scored(user, reason: str) -> None:
    choice = choose_profile(PROFILES, user, MUTE, session_given=True)
    assert (choice.source, choice.fallback_reason) == ("popular", reason)
    assert choice.profile is None


def test_warnings_say_what_stood_in_and_why() -> None:
    assert choose_profile(PROFILES, KNOWN, NO_ROWS, session_given=False).warnings == []
    assert choose_profile(PROFILES, NOT_ASKED, SESSION, session_given=True).warnings == []
    assert choose_profile(PROFILES, UNKNOWN, SESSION, session_given=True).warnings == [
        ("unknown_user", "user 'x' is not known"),
        ("session_only", "these items are based on the session only"),
    ]
    assert choose_profile(PROFILES, UNKNOWN, NO_ROWS, session_given=True).warnings == [
        ("unknown_user", "user 'x' is not known"),
        ("unusable_session", "the model can use none of the session items"),
        ("popular", "these are popular items"),
    ]
