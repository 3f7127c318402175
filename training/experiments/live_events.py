"""Live events: how good lists are after a user's first events, beside training with them.

Users are withheld from training. Then their training positives come as events, oldest first: after
each number of them, the model that has never seen these users folds them in, as the service does,
and another model is trained with them. Both are measured on the same test positives.

Letters: U users, I items, P positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, evaluate, only_users
from training.experiments.figures import Lead, figure, opening, paired_lead, spread
from training.experiments.withheld import (
    Mask,
    NothingToMeasureError,
    drawn,
    popularity,
    train_shown,
    with_training_part,
    within,
)
from training.fit.config import TrainingConfig
from training.reporting.documents import EvaluationProtocol, table

EVENTS = (1, 3, 5, 10)
"""Numbers of events after which lists are measured."""
_METRIC = "ndcg@20"


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterEvents:
    """Lists after one number of events; one evaluation per seed."""

    events: int
    live: tuple[Evaluation, ...]
    retrained: tuple[Evaluation, ...]
    popular: tuple[Evaluation, ...]

    @property
    def users(self) -> int:
        """Users with that many events and with test positives."""
        return len(self.live[0].users)

    @property
    def lead(self) -> Lead:
        """Live events minus training."""
        return paired_lead(self.live, self.retrained, _METRIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEvents:
    """The study of one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    share: float
    withheld_users: int
    after: list[AfterEvents]


def with_first_events(dataset: Dataset, user_U: Mask, events: int) -> Dataset:
    """Training has the first positives of some users only, and validation none of theirs."""
    histories, num_items = dataset.train_histories, dataset.train.shape[1]
    user_P = np.repeat(np.arange(len(user_U)), histories.length_U)
    place_P = np.arange(len(user_P)) - histories.offset_U1[user_P]
    return with_training_part(
        dataset,
        ~user_U[user_P] | (place_P < events),
        within(dataset.valid, ~user_U, np.ones(num_items, dtype=np.bool_)),
        np.packbits(user_U).tobytes() + bytes([events]),
    )


def run_live_events(
    dataset: Dataset, config: TrainingConfig, seeds: Sequence[int], share: float
) -> LiveEvents:
    """Per seed, train without the users, and once for each of `EVENTS` with their first events.

    The config's seed is replaced. The share, between 0 and 1, is of users with training positives.

    Raises:
        NothingToMeasureError: no withheld user has a test positive.
        TrainingError: a model cannot be trained.
    """
    length_U = np.diff(dataset.train.indptr)
    user_U = drawn(length_U, share)
    targets = {
        events: only_users(dataset.test, np.flatnonzero(user_U & (length_U >= events)))
        for events in EVENTS
    }
    targets = {events: target for events, target in targets.items() if target.nnz}
    if not targets:
        raise NothingToMeasureError(f"the {user_U.sum()} withheld users have no test positive")
    found: dict[int, list[tuple[Evaluation, Evaluation, Evaluation]]] = {x: [] for x in targets}
    for seed in seeds:
        seeded = config.model_copy(update={"seed": seed})
        stranger = train_shown(
            with_first_events(dataset, user_U, 0), seeded, "MAGNET without the users"
        )
        popular = popularity(dataset.train, seed)
        for events, target in targets.items():
            known = with_first_events(dataset, user_U, events)
            histories = known.train_histories.recency_weighted(stranger.recency_power)
            live = replace(stranger, train_weight_UI=histories)
            retrained = train_shown(known, seeded, f"MAGNET with their first {events} events")
            live_test, retrained_test, popular_test = (
                evaluate(score, dataset, target) for score in (live.score, retrained.score, popular)
            )
            found[events].append((live_test, retrained_test, popular_test))
    return LiveEvents(
        dataset_name=dataset.name,
        summary=dataset.summary,
        seeds=tuple(seeds),
        share=share,
        withheld_users=int(user_U.sum()),
        after=[
            AfterEvents(
                events=events,
                live=tuple(each[0] for each in tests),
                retrained=tuple(each[1] for each in tests),
                popular=tuple(each[2] for each in tests),
            )
            for events, tests in found.items()
        ],
    )


PROTOCOL = EvaluationProtocol(
    "live-events",
    """\
Live events: a share of the users with training positives, drawn once, lose all their training and
validation positives; a model is trained without them. Then their training positives come one by
one, oldest first. After some of them the model folds them in, as the service does with live events,
and another model is trained with just these events. Both rank every item but the users' training
items for the users who have so many events and a test positive. ± is the standard deviation over
seeds; intervals are 95 % of a paired bootstrap over users; one that holds zero is a tie.""",
)
_HEADER = [
    "events",
    "users",
    "live, NDCG@20",
    "trained with them",
    "popularity",
    "live minus trained",
]


def as_markdown(result: LiveEvents, command: str) -> str:
    """The data set's section; `command` is what made it."""
    rows = [
        [
            str(each.events),
            f"{each.users:,}",
            *(figure(_values(tests)) for tests in (each.live, each.retrained, each.popular)),
            str(each.lead),
        ]
        for each in result.after
    ]
    return "\n\n".join(
        [
            *opening(f"{result.dataset_name}: live events", result.summary, result.seeds, command),
            f"{result.withheld_users:,} users are withheld ({result.share:.0%}).",
            table(_HEADER, rows),
        ]
    )


def as_json(result: LiveEvents) -> dict[str, object]:
    """Numbers by how many events there were."""
    return {
        "dataset": result.dataset_name,
        "summary": result.summary,
        "seeds": list(result.seeds),
        "share": result.share,
        "withheld": result.withheld_users,
        "after": {
            str(each.events): {
                "tested_users": each.users,
                "live": spread(_values(each.live)),
                "retrained": spread(_values(each.retrained)),
                "popularity": spread(_values(each.popular)),
                "live_minus_retrained": each.lead.as_json(),
            }
            for each in result.after
        },
    }


def _values(tests: Sequence[Evaluation]) -> list[float]:
    return [test.metrics[_METRIC] for test in tests]
