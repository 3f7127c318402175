"""The gate: may a new model take the place of the live one?

Knows figures; knows nothing about how they came about. Every rule says what it saw, so that a
refusal names the rule and by how much.
"""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from training.evaluate.protocol import Evaluation
from training.retrain.settings import GateSettings

_METRICS = ("ndcg@20", "recall@20")
_GROUPS = ("tail items", "sparse users")


class Rule(BaseModel):
    """One thing that was asked of the new model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    passed: bool
    text: str
    """What was seen and what was asked for."""


def judge(
    gate: GateSettings,
    challenger: Evaluation,
    champion: Evaluation | None,
    popular: Evaluation,
    utilisation: float,
) -> Iterator[Rule]:
    """Every rule on figures, passed or not.

    Args:
        gate: the margins.
        challenger: the new model on the newest positives.
        champion: the live model on the same; None if it cannot be compared.
        popular: the most popular items on the same.
        utilisation: entropy of the challenger's mean routing over log K.
    """
    num_users = len(challenger.users)
    yield Rule(
        name="enough users",
        passed=num_users >= gate.min_users,
        text=f"{num_users} users to judge on, at least {gate.min_users} are needed",
    )
    yield Rule(
        name="routers",
        passed=utilisation >= gate.min_utilisation,
        text=f"the experts' use is {utilisation:.2f} of even, at least "
        f"{gate.min_utilisation:.2f} is needed",
    )
    yield _compared("popular items", challenger.metrics, popular.metrics, "ndcg@20", gate.margin)
    if champion is None:
        return
    for metric in _METRICS:
        yield _compared("all", challenger.metrics, champion.metrics, metric, gate.margin)
    for group in _GROUPS:
        ours, theirs = challenger.groups.get(group, {}), champion.groups.get(group, {})
        if min(ours.get("users", 0), theirs.get("users", 0)) >= gate.min_users:
            for metric in _METRICS:
                yield _compared(group, ours, theirs, metric, gate.group_margin)


def _compared(
    where: str, ours: dict[str, float], theirs: dict[str, float], metric: str, margin: float
) -> Rule:
    new, old = ours[metric], theirs[metric]
    change = (new - old) / old if old > 0 else 0.0
    against = "popular items" if where == "popular items" else "the live model"
    return Rule(
        name=f"{metric}, {where}",
        passed=new >= (1 - margin) * old,
        text=f"{new:.4f} against {old:.4f} of {against} ({change:+.1%}), "
        f"a loss of {margin:.0%} is accepted",
    )
