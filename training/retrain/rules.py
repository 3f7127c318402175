"""The promotion rules: may a candidate take the place of the live model, and a canary?

Every rule says what it saw, so that a refusal names the rule and by how much it was broken.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from model.registry.canary import Canary
from model.registry.experiment import Experiment
from training.evaluate.protocol import Evaluation
from training.retrain.settings import CanarySettings, PromotionSettings

_METRICS = ("ndcg@20", "recall@20")
_GROUPS = ("tail items", "sparse users")


class Rule(BaseModel):
    """One requirement on the candidate, and whether it was met."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    passed: bool
    text: str
    """What was seen and what was required."""


def judge(
    settings: PromotionSettings,
    candidate: Evaluation,
    live: Evaluation | None,
    popular: Evaluation,
    utilisation: float,
) -> Iterator[Rule]:
    """Every rule on figures, passed or not.

    Args:
        settings: the margins.
        candidate: the new model on the newest positives.
        live: the live model on the same; None if it cannot be compared.
        popular: the most popular items on the same.
        utilisation: entropy of the candidate's mean routing over log K.
    """
    num_users = len(candidate.users)
    yield Rule(
        name="enough users",
        passed=num_users >= settings.min_users,
        text=f"{num_users} users to judge on, at least {settings.min_users} are needed",
    )
    yield Rule(
        name="routers",
        passed=utilisation >= settings.min_utilisation,
        text=f"the experts' use is {utilisation:.2f} of even, at least "
        f"{settings.min_utilisation:.2f} is needed",
    )
    margin = settings.margin
    yield _compared("popular items", candidate.metrics, popular.metrics, "ndcg@20", margin)
    if live is None:
        return
    for metric in _METRICS:
        yield _compared("all", candidate.metrics, live.metrics, metric, margin)
    for group in _GROUPS:
        ours, theirs = candidate.groups.get(group, {}), live.groups.get(group, {})
        if min(ours.get("users", 0), theirs.get("users", 0)) >= settings.min_users:
            for metric in _METRICS:
                yield _compared(group, ours, theirs, metric, settings.group_margin)


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


def verdict(
    canary: Canary,
    answers: int,
    now: datetime,
    settings: CanarySettings,
    experiment: Experiment,
) -> str | None:
    """Why a running canary must not be promoted yet, for people; None if it may be."""
    name = f"the canary {canary.version} serves {canary.share:.1%} of the users"
    if settings.share == 0:
        return f"{name}, and no settings say when to promote it: `promote` it or `canary --stop`"
    ready_at = canary.started_at + timedelta(minutes=settings.min_minutes)
    if now < ready_at:
        return f"{name} and is to do so until {ready_at:%Y-%m-%d %H:%M} UTC at least"
    if answers < settings.min_answers:
        return f"{name} and has given {answers} answers, at least {settings.min_answers} are needed"
    if settings.if_better and experiment.verdict != "challenger better":
        return f"{name} and must be better first. {experiment.summary} `canary --stop` ends it"
    return None
