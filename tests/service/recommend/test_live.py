"""What a user's events say about items, and until when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from service.recommend.dislikes import MAX_DISLIKES, STRENGTH, of_dislikes
from service.recommend.live import MAX_EVENTS, live_items
from service.recommend.resolution import known_rows
from service.serving.snapshot import ProbeUsers, Snapshot, build_snapshot
from service.serving.source import OpenedModel
from service.store.live_events import LiveEvent
from service.store.memo import Memo
from service.store.users import UserRecord, UserState

NO_ROWS = np.empty(0, dtype=np.intp)
RECORD = UserRecord(
    vector_VMD=np.ones((2, 3, 8), dtype=np.float32),
    seen_N=np.array([10, 11, 12, 13], dtype=np.int32),
    history_H=np.array([10, 11, 12], dtype=np.int32),
)
UNTIL = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def snapshot(artifact) -> Snapshot:
    return build_snapshot(OpenedModel.of(artifact), ProbeUsers(golden=[], sampled=[]))


@pytest.fixture(scope="module")
def retrained(snapshot) -> Snapshot:
    """A model that has learnt from events until then."""
    return replace(snapshot, manifest=snapshot.manifest.model_copy(update={"events_until": UNTIL}))


def user(*done: tuple[str, int], record: UserRecord | None = RECORD, **more) -> UserState:
    """A user who has done these things with these rows, oldest first, one an hour since `UNTIL`."""
    start = 1000 * UNTIL.timestamp() + 1
    events = [
        LiveEvent(f"i{row:03d}", kind, start + 3_600_000 * hour)
        for hour, (kind, row) in enumerate(done)
    ]
    return UserState(
        user_id="u",
        in_model=record is not None,
        record=record,
        events=events[::-1],
        hidden_rows=NO_ROWS,
        **more,
    )


@pytest.mark.parametrize(
    ("done", "liked", "disliked", "undone"),
    [
        ([("click", 1), ("purchase", 2), ("like", 3)], [1, 2, 3], [], []),
        ([("click", 1), ("click", 2), ("like", 1)], [2, 1], [], []),
        ([("view", 1), ("click", 99)], [], [], []),
        ([("click", 1), ("dislike", 1)], [], [1], []),
        ([("purchase", 1), ("return", 1), ("hide", 2)], [], [2, 1], []),
        ([("dislike", 1), ("view", 1), ("like", 1)], [1], [], []),
        ([("like", 1), ("undo", 1)], [], [], [1]),
        ([("dislike", 1), ("undo", 1), ("view", 1)], [], [], [1]),
        ([("undo", 1), ("like", 1)], [1], [], []),
        ([("something new", 1)], [], [], []),
    ],
)
def test_the_last_word_on_an_item_counts(retrained, done, liked, disliked, undone) -> None:
    live = live_items(retrained, user(*done))
    assert live.liked.tolist() == liked
    assert live.disliked.tolist() == disliked
    assert live.undone.tolist() == undone


@pytest.mark.parametrize(
    ("done", "history"),
    [
        ([("click", 20)], [10, 11, 12, 20]),
        ([("click", 10), ("like", 20)], [11, 12, 10, 20]),
        ([("click", 13)], [10, 11, 12, 13]),
        ([("dislike", 11), ("undo", 12)], [10]),
        ([("dislike", 50), ("view", 51)], [10, 11, 12]),
    ],
)
def test_a_history_goes_on(retrained, done, history) -> None:
    assert live_items(retrained, user(*done)).changed(RECORD.history_H).tolist() == history


def test_what_the_model_has_learnt_does_not_count_again(retrained) -> None:
    events = user(("click", 20), ("click", 21)).events
    learnt, live = (
        event._replace(at=1000 * UNTIL.timestamp() + seconds)
        for event, seconds in zip(events, (-1, 1), strict=True)
    )
    found = live_items(retrained, replace(user(), events=[live, learnt]))
    assert found.liked.tolist() == [20]
    assert sorted(found.seen) == [20, 21]


def test_a_dislike_counts_after_a_model_has_seen_it(retrained) -> None:
    old = [LiveEvent("i020", "dislike", 1000 * UNTIL.timestamp() - 1)]
    assert live_items(retrained, replace(user(), events=old)).disliked.tolist() == [20]


def test_of_a_model_that_does_not_say_the_users_own_items_do_not_count_again(snapshot) -> None:
    made_later = replace(snapshot, created_at=UNTIL + timedelta(hours=2.5))
    done = [("click", 10), ("click", 13), ("click", 20), ("click", 12)]
    assert live_items(made_later, user(*done)).liked.tolist() == [20, 12], "12 was clicked since"
    assert live_items(made_later, user(*done, record=None)).liked.tolist() == [10, 13, 20, 12]


def test_only_the_latest_events_are_scored_with_but_all_were_seen(retrained) -> None:
    done = [("click", place % 80) for place in range(20)] + [("view", 30)] * (MAX_EVENTS - 10)
    live = live_items(retrained, user(*done))
    assert live.liked.tolist() == list(range(10, 20))
    assert sorted(live.seen) == [*range(20), 30]


def test_what_was_undone_was_never_seen(retrained) -> None:
    who = user(("like", 20), ("click", 21), ("undo", 20), ("undo", 13))
    known = known_rows(who, live_items(retrained, who), np.array([1]))
    assert sorted(known) == [1, 10, 11, 12, 21]


def test_a_dislike_takes_the_more_from_an_item_the_more_it_is_alike(retrained, artifact) -> None:
    items_IVMD = artifact.tensors["item_embeddings"]
    unit = items_IVMD / np.linalg.norm(items_IVMD, axis=-1, keepdims=True)
    (pushed,) = of_dislikes(retrained, live_items(retrained, user(("dislike", 7))))
    cosine_I = np.einsum("ivmd,vmd->i", unit, unit[7]) / 6
    reach = retrained.scorer.reach()
    assert pushed.points_I == pytest.approx(-STRENGTH * reach * np.maximum(cosine_I, 0), abs=1e-5)
    assert (pushed.kind, pushed.name) == ("dislike", "i007"), "it has no title"
    assert pushed.points_I.min() == pushed.points_I[7] == pytest.approx(-STRENGTH * reach)


def test_the_latest_dislikes_push(retrained) -> None:
    live = live_items(retrained, user(*(("hide", row) for row in range(20, 40))))
    names = [each.name for each in of_dislikes(retrained, live)]
    assert names == [f"Title {row}" for row in range(39, 39 - MAX_DISLIKES, -1)]


def test_what_events_say_is_looked_up_once_until_there_are_others(retrained) -> None:
    record = replace(RECORD, memo=Memo())
    one, again = user(("like", 20), record=record), user(("like", 20), record=record)
    live = live_items(retrained, one)
    assert live_items(retrained, again) is live
    more = live_items(retrained, user(("like", 20), ("like", 21), record=record))
    assert more.liked.tolist() == [20, 21]
    grown = replace(retrained, items=replace(retrained.items, serial=-1))
    assert live_items(grown, user(("like", 20), ("like", 21), record=record)) is not more
