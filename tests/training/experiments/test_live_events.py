"""The study of live events: what comes as events, and a trial that really trains."""

import json
from dataclasses import replace

import numpy as np
import pytest

from training.data.dataset import Dataset
from training.experiments.live_events import (
    EVENTS,
    LiveEvents,
    as_json,
    as_markdown,
    run_live_events,
    with_first_events,
)
from training.experiments.withheld import NothingToMeasureError, drawn
from training.fit.config import TrainingConfig

SMALL = TrainingConfig(embedding_dim=8, batch_size=256, negatives=32, max_epochs=2)


@pytest.fixture(scope="module")
def result(communities: Dataset) -> LiveEvents:
    return run_live_events(communities, SMALL, [0], 0.3)


def test_withheld_users_have_their_first_events_alone(communities: Dataset) -> None:
    user_U = drawn(np.diff(communities.train.indptr), 0.3)
    known = with_first_events(communities, user_U, 3)
    was, now = communities.train_histories, known.train_histories
    for user in range(80):
        first = was.item_P[was.offset_U1[user] : was.offset_U1[user + 1]]
        first = first[:3] if user_U[user] else first
        assert now.item_P[now.offset_U1[user] : now.offset_U1[user + 1]].tolist() == first.tolist()
        assert sorted(known.train[[user]].indices) == sorted(first)
    assert not np.diff(known.valid.indptr)[user_U].any()
    assert np.array_equal(
        np.diff(known.valid.indptr)[~user_U], np.diff(communities.valid.indptr)[~user_U]
    )
    digests = {with_first_events(communities, user_U, n).sha256 for n in (0, 3, 5)}
    assert len(digests | {communities.sha256}) == 4


def test_a_few_events_make_lists_better_than_popular_ones(result: LiveEvents) -> None:
    assert result.withheld_users == 24
    assert [each.events for each in result.after] == list(EVENTS)
    for each in result.after:
        assert 0 < each.users <= 24
        live, popular = (tests[0].metrics["ndcg@20"] for tests in (each.live, each.popular))
        assert live > popular + 0.1
    assert result.after[-1].users < result.after[0].users


def test_the_report_tells_all_of_it(result: LiveEvents) -> None:
    text = as_markdown(result, "magnet live-events --data somewhere")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 1 + len(EVENTS)
    assert "magnet live-events --data somewhere" in text
    figures = json.loads(json.dumps(as_json(result)))
    assert figures["withheld"] == 24
    assert f"{figures['after']['3']['live']['mean']:.4f}" in text


def test_without_test_positives_there_is_nothing_to_measure(communities: Dataset) -> None:
    nothing = type(communities.test)(communities.test.shape, dtype="f4")
    emptied = replace(communities, test=nothing)
    with pytest.raises(NothingToMeasureError, match="no test positive"):
        run_live_events(emptied, SMALL, [0], 0.3)
