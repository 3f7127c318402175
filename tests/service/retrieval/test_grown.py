"""A model that has grown: the best of all its items, those of the artifact and the added ones."""

import numpy as np
import pytest

from model.runtime.grown import GrowingRows, GrownRows
from model.runtime.item_item import DenseScores, dense_parts
from model.runtime.profile import ProfileMaker
from model.runtime.scorer import OnnxScorer
from service.retrieval.exact import ExactRetriever
from service.retrieval.grown import SEGMENT_ROWS, GrowingBounds, GrownRetriever
from service.retrieval.query import Eligible, Query

NAMES = ("item_embeddings", "item_routing", "item_bias")
ADDED = SEGMENT_ROWS + 1_500


@pytest.fixture(scope="module")
def models(make_artifact):
    """Of 2,000 items; the same with others behind them; and its retriever."""
    artifact = make_artifact("v1", 1, num_items=2_000)
    others = make_artifact("v2", 2, num_items=ADDED).tensors
    added = {name: others[name] for name in NAMES}
    templates = [expert.template for expert in artifact.manifest.experts]
    scorer = OnnxScorer(artifact.files, artifact.tensors)
    bounds = GrowingBounds(templates, scorer.reach()).of_rows(added)
    retriever = GrownRetriever(
        ExactRetriever(scorer, artifact.tensors, templates),
        ExactRetriever(scorer.of_items(added), added, templates, bounds=bounds),
        num_base=2_000,
    )
    profiles = ProfileMaker.of(artifact.tensors, recency_power=0.0, item_item_deviation=0.3)
    return scorer.grown_by(added), retriever, profiles


def eligible(kind: str) -> Eligible:
    nothing = np.empty(0, dtype=np.intp)
    some = np.arange(3, 2_000 + ADDED, 7)
    return {
        "all": Eligible(2_000 + ADDED, nothing),
        "without some": Eligible(2_000 + ADDED, some),
        "only some": Eligible(2_000 + ADDED, nothing, [some]),
        "only base": Eligible(2_000 + ADDED, nothing, [np.arange(50)]),
        "only added": Eligible(2_000 + ADDED, nothing, [np.arange(2_100, 2_130)]),
        "none": Eligible(2_000 + ADDED, nothing, [nothing]),
    }[kind]


@pytest.mark.parametrize("with_points", [False, True])
@pytest.mark.parametrize(
    "kind", ["all", "without some", "only some", "only base", "only added", "none"]
)
def test_the_best_are_those_of_routing_every_item(models, kind: str, with_points: bool) -> None:
    scorer, retriever, profiles = models
    rng = np.random.default_rng(3)
    points_I = None
    if with_points:
        points_I = rng.normal(size=2_000 + ADDED).astype(np.float32)
    queries = [
        Query(
            profiles.of_history(rng.choice(2_000, 5, replace=False)), eligible(kind), 20, points_I
        )
        for _ in range(3)
    ]
    for query, found in zip(queries, retriever.best(queries), strict=True):
        rows = query.eligible.rows()
        scores = scorer.score(query.profile, rows) if len(rows) else np.empty(0, np.float32)
        scores = query.pointed(rows, scores)
        best = rows[np.argsort(-scores, kind="stable")[:20]]
        assert found.rows.tolist() == best.tolist()
        assert found.scores == pytest.approx(np.sort(scores)[::-1][:20], abs=1e-5)


def test_a_history_may_have_added_items_and_says_nothing_of_them_by_itself(models) -> None:
    _, _, profiles = models
    model = profiles.item_item
    known = model.of_history(np.array([5]), 0.0)
    assert isinstance(known, DenseScores)
    rows = np.array([2_005, 3, 4_000])
    assert known.at(rows).tolist() == [0, known.value_I[3], 0]
    assert known.between(1_990, 2_010).tolist() == [*known.value_I[1_990:], *[0] * 10]
    with_added = model.history_scores(np.array([5, 3_000]), 0.0)
    # Half as much of each, brought to the same deviation.
    assert with_added.scores.at(rows) == pytest.approx(known.at(rows), abs=1e-6)
    (part_RH,) = dense_parts([with_added.parts(rows, newest=2)], len(rows), 2)
    assert part_RH[:, 0] == pytest.approx(known.at(rows), abs=1e-6)
    assert part_RH[:, 1].tolist() == [0, 0, 0]


def test_rows_grow_behind_those_that_were_seen() -> None:
    base = np.arange(6.0).reshape(3, 2)
    growing = GrowingRows(base)
    growing.append(np.full((2, 2), 7.0))
    seen = GrownRows(base, growing.rows())
    for _ in range(8):
        growing.append(np.full((30, 2), 8.0))
    whole = np.array([[0, 1], [2, 3], [4, 5], [7, 7], [7, 7]])
    assert np.asarray(seen).tolist() == whole.tolist()
    for part in (
        slice(0, 2),
        slice(2, 4),
        slice(3, 9),
        slice(1, None),
        [4, 0],
        np.array([[3], [1]]),
        -1,
    ):
        assert np.asarray(seen[part]).tolist() == whole[part].tolist(), part
    assert seen.shape == (5, 2)
    assert len(growing.rows()) == 242
