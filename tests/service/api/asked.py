"""What is asked of two services whose answers are to be the same, over 3,001 items."""

from typing import Any

import pytest


def same(one: Any, other: Any, path: str = "") -> None:
    """Equal, but for what differs by call; numbers to 1e-5."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for name in one.keys() - {"request_id", "took_ms", "loaded_at"}:
            same(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for place, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{path}[{place}]")
    elif isinstance(one, float):
        assert other == pytest.approx(one, abs=1e-5), path
    else:
        assert one == other, path


SESSION = ["i00007", "i01400", "i01600", "i02900"]
BODIES: dict[str, dict[str, Any]] = {
    "known": {"user_id": "u001"},
    "long": {"user_id": "u002", "k": 300},
    "a later page": {"user_id": "u003", "k": 10, "offset": 35},
    "taken apart": {"user_id": "u001", "explain": "full"},
    "not explained": {"user_id": "u001", "explain": "none"},
    "diverse": {"user_id": "u004", "diversity": 0.6},
    "unknown": {"user_id": "nobody"},
    "without history": {"user_id": "u029"},
    "session": {"session_items": SESSION},
    "user in a session": {"user_id": "u001", "session_items": SESSION},
    "seen": {"user_id": "u005", "exclude_seen": False},
    "excluded": {"user_id": "u001", "exclude": ["i00001", "i03000"]},
    "of one shard": {"user_id": "u001", "candidates": ["i00003", "i00001", "i00002"]},
    "of both": {"user_id": "u001", "candidates": ["i00003", "i02999", "i01500", "i01501"]},
    "category": {"user_id": "u001", "categories": ["odd"]},
    "filtered": {
        "user_id": "u001",
        "filters": [{"attribute": "popularity", "op": ">", "value": 15}],
    },
    "filtered session": {
        "session_items": SESSION,
        "filters": [{"attribute": "popularity", "op": "<=", "value": 3}],
    },
    "boosted": {
        "user_id": "u001",
        "boosts": [
            {
                "filters": [{"attribute": "item_id", "op": "in", "value": ["i00009", "i02000"]}],
                "points": 2.5,
            }
        ],
    },
    "boosted session": {
        "session_items": SESSION,
        "boosts": [
            {
                "filters": [{"attribute": "category", "op": "==", "value": "odd"}],
                "points": 0.5,
            }
        ],
    },
    "pinned": {"user_id": "u001", "pins": [{"item_id": "i02500", "rank": 2}]},
    "limited": {"user_id": "u001", "max_per": {"attribute": "category", "count": 4}},
}


ROUTES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/users/u001/recommendations?k=7&category=odd", None),
    ("GET", "/v1/users/u001/explanations/i00001", None),
    ("GET", "/v1/users/u001/explanations/i02999", None),
    ("GET", "/v1/items/i00010/similar?k=12", None),
    ("GET", "/v1/items/i02990/similar?modality=text", None),
    ("POST", "/v1/explain", {"session_items": SESSION, "item_id": "i01000"}),
    ("POST", "/v1/score", {"user_id": "u001", "items": ["i00004", "i02998", "none"]}),
    ("POST", "/v1/recommendations:batch", {"requests": list(BODIES.values())}),
]
