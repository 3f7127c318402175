import numpy as np
import pytest

from model.runtime.item_item import NeighbourhoodMatrix
from model.runtime.profile import ProfileMaker
from service.recommend.context import UserLookup, choose_taste

NOW = {"hidden_rows": np.empty(0, dtype=np.intp)}
HISTORY = np.array([0], dtype=np.int32)
USER_VMD = np.array([[[1, 0]]], dtype=np.float32)
KNOWN = UserLookup(state="known", vector_VMD=USER_VMD, history_H=HISTORY, **NOW)
UNKNOWN = UserLookup(state="unknown_user", trouble="user 'x' is not known", **NOW)
NOT_ASKED = UserLookup(state="not_asked", **NOW)
SESSION, MUTE = np.array([1]), np.array([2])

# Item 0 says something for item 2, item 1 says against it; item 2 has no row.
PROFILES = ProfileMaker(
    foldin_IVMD=np.array([[[[3, 0]]], [[[0, 2]]], [[[0, 0]]]], dtype=np.float32),
    neighbourhoods=NeighbourhoodMatrix(
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
    taste = choose_taste(PROFILES, user, session, session_given=True)
    assert (taste.source, taste.fallback_reason) == (source, reason)
    assert taste.profile.vector_VMD.tolist() == [[vector]]
    assert taste.profile.neighbourhood.at(np.arange(3)) == pytest.approx([0, 0, said])
    assert [history.tolist() for history in taste.histories] == histories


@pytest.mark.parametrize(
    ("user", "reason"), [(UNKNOWN, "unknown_user"), (NOT_ASKED, "unusable_session")]
)
def test_of_nobody_nothing_is_scored(user, reason: str) -> None:
    taste = choose_taste(PROFILES, user, MUTE, session_given=True)
    assert (taste.source, taste.fallback_reason) == ("popular", reason)
    assert taste.profile is None


def test_warnings_say_what_stood_in_and_why() -> None:
    nothing = np.empty(0, dtype=np.intp)
    assert choose_taste(PROFILES, KNOWN, nothing, session_given=False).warnings == []
    assert choose_taste(PROFILES, NOT_ASKED, SESSION, session_given=True).warnings == []
    assert choose_taste(PROFILES, UNKNOWN, SESSION, session_given=True).warnings == [
        "user 'x' is not known",
        "these items follow the session alone",
    ]
    assert choose_taste(PROFILES, UNKNOWN, nothing, session_given=True).warnings == [
        "user 'x' is not known",
        "no session item says anything to the model",
        "these items are the popular ones",
    ]
