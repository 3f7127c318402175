import numpy as np
import pytest

from service.foldin import blend
from service.taste import UserLookup, choose_taste

USER = np.array([[[1, 0]]], dtype=np.float32)
SESSION = np.array([[[0, 1]]], dtype=np.float32)
NOW = {"hidden_rows": np.empty(0, dtype=np.intp)}
KNOWN = UserLookup(state="known", vector_VMD=USER, **NOW)
UNKNOWN = UserLookup(state="unknown_user", trouble="user 'x' is not known", **NOW)
NOT_ASKED = UserLookup(state="not_asked", **NOW)


@pytest.mark.parametrize(
    ("user", "session", "source", "vector", "reason"),
    [
        (KNOWN, SESSION, "model", blend(USER, SESSION), None),
        (KNOWN, None, "model", USER, None),
        (UNKNOWN, SESSION, "session", SESSION, "unknown_user"),
        (NOT_ASKED, SESSION, "session", SESSION, None),
        (UNKNOWN, None, "popular", None, "unknown_user"),
        (NOT_ASKED, None, "popular", None, "unusable_session"),
    ],
)
def test_what_is_scored(user, session, source: str, vector, reason: str | None) -> None:
    taste = choose_taste(user, session, session_given=True)
    assert (taste.source, taste.fallback_reason) == (source, reason)
    np.testing.assert_array_equal(taste.vector_VMD, vector)


def test_warnings_say_what_stood_in_and_why() -> None:
    assert choose_taste(KNOWN, None, session_given=False).warnings == []
    assert choose_taste(NOT_ASKED, SESSION, session_given=True).warnings == []
    assert choose_taste(UNKNOWN, SESSION, session_given=True).warnings == [
        "user 'x' is not known",
        "these items follow the session alone",
    ]
    assert choose_taste(UNKNOWN, None, session_given=True).warnings == [
        "user 'x' is not known",
        "no session item says anything to the model",
        "these items are the popular ones",
    ]
