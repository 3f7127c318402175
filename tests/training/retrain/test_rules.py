"""The gate's rules on figures."""

from dataclasses import replace

import numpy as np
import pytest

from training.evaluate.protocol import Evaluation
from training.retrain.rules import judge
from training.retrain.settings import PromotionSettings

SETTINGS = PromotionSettings(min_users=10, margin=0.05, group_margin=0.1)


def evaluation(ndcg: float, tail: float, users: int = 100, tail_users: int = 20) -> Evaluation:
    group = {"users": float(tail_users), "ndcg@20": tail, "recall@20": tail}
    return Evaluation(
        metrics={"ndcg@20": ndcg, "recall@20": 2 * ndcg},
        groups={"tail items": group},
        users=np.arange(users),
        top_UK=np.empty((0, 0), dtype=np.int64),
        per_user={},
        group_per_user={},
    )


LIVE = evaluation(0.2, 0.1)


def broken(candidate: Evaluation, utilisation: float = 0.9, popular: float = 0.1) -> list[str]:
    rules = judge(SETTINGS, candidate, LIVE, evaluation(popular, 0), utilisation)
    return [rule.name for rule in rules if not rule.passed]


@pytest.mark.parametrize(
    ("candidate", "rules"),
    [
        (evaluation(0.2, 0.1), []),
        (evaluation(0.191, 0.091), []),
        (evaluation(0.189, 0.1), ["ndcg@20, all", "recall@20, all"]),
        (evaluation(0.3, 0.089), ["ndcg@20, tail items", "recall@20, tail items"]),
        (evaluation(0.3, 0.0, tail_users=9), []),
        (evaluation(0.2, 0.1, users=9), ["enough users"]),
    ],
)
def test_a_loss_beyond_the_margin_is_refused(candidate: Evaluation, rules: list[str]) -> None:
    assert broken(candidate) == rules


def test_collapsed_routers_and_models_worse_than_popularity_are_refused() -> None:
    assert broken(LIVE, utilisation=0.3) == ["routers"]
    assert broken(LIVE, popular=0.25) == ["ndcg@20, popular items"]


def test_a_refusal_says_by_how_much() -> None:
    worse = replace(LIVE, metrics={"ndcg@20": 0.15, "recall@20": 0.4})
    rules = {x.name: x.text for x in judge(SETTINGS, worse, LIVE, evaluation(0.1, 0), 0.9)}
    assert rules["ndcg@20, all"] == (
        "0.1500 against 0.2000 of the live model (-25.0%), a loss of 5% is accepted"
    )


def test_without_a_live_model_popularity_is_the_floor() -> None:
    names = [x.name for x in judge(SETTINGS, LIVE, None, evaluation(0.1, 0), 0.9)]
    assert names == ["enough users", "routers", "ndcg@20, popular items"]
