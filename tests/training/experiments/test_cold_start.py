"""What is withheld, the reference models, and a trial that really trains with its report."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from deploy.cli.app import main
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.features import ModalityFeatures
from training.experiments.cold_start import (
    ColdStart,
    as_json,
    as_markdown,
    content_knn,
    restricted,
    run_cold_start,
)
from training.experiments.withheld import (
    NothingToMeasureError,
    drawn,
    popularity,
    random_scores,
    within,
)
from training.fit.config import TrainingConfig

SMALL = TrainingConfig(embedding_dim=8, batch_size=256, negatives=32, max_epochs=6)
SHARE = 0.3


@pytest.fixture(scope="module")
def told_apart(communities: Dataset) -> Dataset:
    """The communities, with features that tell their items apart."""
    group_IG = np.eye(4)[np.arange(60) % 4]
    x_IF = group_IG.repeat(2, axis=1) + 0.2 * np.random.default_rng(0).normal(size=(60, 8))
    content = ModalityFeatures(x_IF=x_IF.astype("f4"), present_I=np.arange(60) != 7)
    return replace(communities, features={"content": content})


@pytest.fixture(scope="module")
def result(told_apart: Dataset) -> ColdStart:
    return run_cold_start(told_apart, SMALL, [0], SHARE)


def test_users_are_served_without_having_been_trained_with(result: ColdStart) -> None:
    ways = result.users
    assert result.withheld_users == 24
    assert list(ways.outcomes) == ["retrained", "reencoded", "folded_in", "popularity", "random"]
    assert 0 < ways.users <= 24
    for way in ("reencoded", "folded_in"):
        assert ways.lead(way, "random", "ndcg@20").verdict == "ahead"
        assert abs(ways.lead(way, "retrained", "ndcg@20").mean) < 0.15


def test_items_are_served_by_their_content(result: ColdStart, told_apart: Dataset) -> None:
    items = result.items
    assert items is not None
    assert items.withheld == 18
    assert items.with_content in (17, 18)
    for ways in (items.among_all, items.among_withheld):
        assert 0 < ways.users <= told_apart.test.nnz
        for way in ("reencoded", "content_only", "put", "content_knn"):
            assert ways.lead(way, "random", "ndcg@20").verdict == "ahead"
        assert abs(ways.lead("put", "content_only", "recall@20").mean) < 0.1
    among_all = items.among_all.outcomes["popularity"].tests[0]
    withheld_rank = items.among_withheld.outcomes["popularity"].tests[0].per_user["recall@20"]
    assert among_all.metrics["recall@20"] < withheld_rank.mean() == 1.0  # 18 items in a list of 20


def test_what_withheld_items_displace_is_measured(result: ColdStart, told_apart: Dataset) -> None:
    items = result.items
    assert items is not None
    assert items.overall.users == (np.diff(told_apart.test.indptr) > 0).sum()
    lists = items.overall.outcomes["random"].tests[0].top_UK
    assert lists.shape == (items.overall.users, 20)
    assert (
        items.listed["popularity"] < items.listed["random"] < 0.5
    )  # a share of 18 in 60, unmasked
    item_I = drawn(np.bincount(told_apart.train.indices), SHARE)
    assert items.wanted == told_apart.test[:, item_I].nnz / told_apart.test.nnz


def test_a_way_lacks_nothing_of_itself(result: ColdStart) -> None:
    lead = result.users.lead("retrained", "retrained", "recall@20")
    assert (lead.mean, lead.low, lead.high, lead.verdict) == (0, 0, 0, "tie")


def test_behaviour_alone_has_no_cold_items(communities: Dataset) -> None:
    alone = run_cold_start(communities, SMALL, [0, 1], SHARE)
    assert alone.items is None
    assert len(alone.users.outcomes["folded_in"].tests) == 2
    text = as_markdown(alone, "command")
    assert "the data hold no content" in text
    assert " ± " in text


def test_nothing_to_measure(communities: Dataset) -> None:
    with pytest.raises(NothingToMeasureError, match="24 withheld users have no test positive"):
        run_cold_start(replace(communities, test=communities.test * 0), SMALL, [0], SHARE)


def test_the_report_says_what_was_reached(result: ColdStart) -> None:
    text = as_markdown(result, "magnet cold-start --data DIR")
    lines = text.splitlines()
    assert "```console\nmagnet cold-start --data DIR\n```" in text
    assert "### 24 withheld users" in text
    assert sum(line.startswith("| **content only** | ") for line in lines) == 3
    assert text.count("Content only minus content neighbours (") == 2
    for row, next_row in pairwise(lines):
        if row.startswith("|") and next_row.startswith("|"):
            assert row.count("|") == next_row.count("|")
    figures = json.loads(json.dumps(as_json(result)))
    items = figures["items"]
    ways = items["among_all"]["ways"]
    recall = result.items.among_all.outcomes["content_only"].tests[0].metrics["recall@20"]
    assert ways["content_only"]["test"]["recall@20"] == {"mean": recall, "std": 0.0}
    assert ways["random"]["minus_retrained"]["ndcg@20"]["verdict"] == "behind"
    assert items["among_withheld"]["tested_users"] == items["among_all"]["tested_users"]
    assert f"{items['places_listed']['content_only']:.1%}" in text


def test_the_command_writes_what_it_prints(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, document = tmp_path / "figures.json", tmp_path / "benchmarks.md"
    arguments = ["cold-start", "--data", str(tiny_data), "--share", "0.4", "--set", "max_epochs=1"]
    arguments += ["--json", str(out), "--document", str(document)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "--share 0.4 --set max_epochs=1" in said
    assert all(part in document.read_text() for part in said.strip().split("\n\n"))
    figures = json.loads(out.read_text())
    assert figures["users"]["withheld"] == 24
    assert (
        f"{figures['items']['among_all']['ways']['content_only']['test']['ndcg@20']['mean']:.4f}"
        in said
    )


@pytest.mark.parametrize("share", ["0", "1", "much"])
def test_a_share_that_is_none(
    share: str, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cold-start", "--data", str(tiny_data), "--share", share]) == 2
    assert "--share" in capsys.readouterr().err


def test_no_test_part(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = (tiny_data / "tiny.inter").read_text().splitlines()
    labelled = [f"{header}\tx_label", *(f"{line}\t{n % 2}" for n, line in enumerate(lines))]
    (tmp_path / "labelled.inter").write_text("\n".join(labelled) + "\n")
    assert main(["cold-start", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "6 withheld users have no test positive; raise --share or choose another" in said


@pytest.fixture(scope="module")
def tiny(tiny_data: Path) -> Dataset:
    return load_dataset(DataConfig(folder=tiny_data))


def items_of(tiny: Dataset, user: int) -> list[int]:
    histories = tiny.train_histories
    return histories.item_P[histories.offset_U1[user] : histories.offset_U1[user + 1]].tolist()


def test_a_share_of_those_with_positives_is_drawn_and_always_the_same() -> None:
    count = np.array([3, 0, 1] * 40)
    chosen = drawn(count, 0.25)
    assert chosen.sum() == 20
    assert count[chosen].min() > 0
    np.testing.assert_array_equal(chosen, drawn(count, 0.25))
    assert drawn(np.array([0, 5]), 0.01).tolist() == [False, True]


def test_nothing_of_withheld_users_is_left_to_training(tiny: Dataset) -> None:
    user_U = np.zeros(60, dtype=np.bool_)
    user_U[[3, 10]] = True
    reduced = restricted(tiny, ~user_U, np.ones(40, dtype=np.bool_))
    for part in ("train", "valid"):
        before, after = getattr(tiny, part).toarray(), getattr(reduced, part).toarray()
        assert before[user_U].any()
        assert not after[user_U].any()
        np.testing.assert_array_equal(after[~user_U], before[~user_U])
    assert [items_of(reduced, user) for user in (3, 10)] == [[], []]
    for user in (0, 4, 11, 58):
        assert items_of(reduced, user) == items_of(tiny, user)
    assert reduced.sha256 != tiny.sha256


def test_withheld_items_keep_their_features_alone(tiny: Dataset) -> None:
    item_I = np.zeros(40, dtype=np.bool_)
    item_I[[2, 7, 8]] = True
    reduced = restricted(tiny, np.ones(60, dtype=np.bool_), ~item_I)
    for part in ("train", "valid"):
        before, after = getattr(tiny, part).toarray(), getattr(reduced, part).toarray()
        assert not after[:, item_I].any()
        np.testing.assert_array_equal(after[:, ~item_I], before[:, ~item_I])
    for user in range(60):
        kept = [item for item in items_of(tiny, user) if not item_I[item]]
        assert items_of(reduced, user) == kept
    assert reduced.features is tiny.features
    weighted = reduced.train_histories.recency_weighted(0.0)
    np.testing.assert_array_equal(weighted.toarray(), reduced.train.toarray())


def test_only_rows_and_columns_asked_for(tiny: Dataset) -> None:
    user_U, item_I = np.arange(60) < 5, np.arange(40) % 3 == 0
    part = within(tiny.test, user_U, item_I)
    whole = tiny.test.toarray()
    np.testing.assert_array_equal(part.toarray(), whole * user_U[:, None] * item_I)
    assert part.nnz == part.toarray().sum()


def features_of(*rows: list[float]) -> ModalityFeatures:
    return ModalityFeatures(
        x_IF=np.array(rows, dtype=np.float32), present_I=np.ones(len(rows), dtype=np.bool_)
    )


def test_content_neighbours_of_the_history_come_first() -> None:
    shape = features_of([1, 0.1], [1, -0.1], [-1, 0.2], [-1, -0.2])
    history = csr_array(np.array([[1, 0, 0, 0], [0, 0, 0.5, 0]], dtype=np.float32))
    score = content_knn(history, [shape], neighbours=1)(np.array([0, 1]))
    np.testing.assert_allclose(score, [[0, 1, 0, 0], [0, 0, 0, 0.5]])
    colour = features_of([1, 0], [-1, 0], [1, 0.1], [-1, -0.1])
    both = content_knn(history, [shape, colour], neighbours=1)(np.array([0]))
    np.testing.assert_allclose(both, [[0, 1, 1, 0]])


def test_popularity_breaks_ties_at_random() -> None:
    train = csr_array(np.array([[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]], dtype=np.float32))
    orders = {
        tuple(np.argsort(-popularity(train, seed)(np.array([0])))[0].tolist()) for seed in range(20)
    }
    assert {order[:2] for order in orders} == {(0, 1)}
    assert {order[2] for order in orders} == {2, 3, 4, 5}


def test_random_scores_differ_between_users_and_repeat_by_seed() -> None:
    first, again, other = (random_scores(30, seed)(np.arange(2)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])
