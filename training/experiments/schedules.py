"""Schedules: what starts specialisation, the entropy trigger beside fixed epochs of the router.

All runs of a seed differ in nothing else. The report is a section of Markdown, plain numbers for
JSON, and a chart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from model.artifact.manifest import EpochRecord
from model.network.schedule import Switch
from training.data.dataset import Dataset
from training.evaluate.protocol import Evaluation, evaluate
from training.experiments.figures import Lead, figure, opening, paired_lead, spread
from training.experiments.withheld import train_shown
from training.fit.config import TrainingConfig
from training.reporting.charts import (
    COLOURS,
    INK,
    Panel,
    Series,
    draw_lines,
    entropies,
    expert_shares,
    specialisation,
)
from training.reporting.documents import EvaluationProtocol, table

TRIGGER: Switch = "entropy"
FIXED: tuple[Switch, ...] = ("never", 0, 5, 10, 20)
"""Stage switches that the trigger is compared with: never, or after so many router epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training."""

    seed: int
    history: tuple[EpochRecord, ...]
    best_epoch: int
    trigger_epoch: int | None
    """The epoch after which specialisation began; None if it never did."""
    experts: tuple[str, ...]
    valid: Evaluation
    test: Evaluation

    @property
    def smallest_share_in_coverage(self) -> float | None:
        """The least that any expert had in an epoch before specialisation, 1 being an even share.

        None if specialisation began at once.
        """
        shares = [_smallest_share(x) for x in self.history if x.stage == "coverage"]
        return min(shares, default=None)

    @property
    def smallest_share_at_best(self) -> float:
        """The least that any expert has in the epoch that is kept, 1 being an even share."""
        return _smallest_share(self.history[self.best_epoch - 1])


def _smallest_share(record: EpochRecord) -> float:
    return min(record.expert_shares) * len(record.expert_shares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedules:
    """Every schedule's runs on one data set."""

    dataset_name: str
    summary: str
    seeds: tuple[int, ...]
    runs: dict[Switch, tuple[Run, ...]]
    """One run per seed; `TRIGGER` is among them."""

    def best_fixed(self) -> Switch:
        """The fixed schedule of the highest mean validation NDCG@20."""
        fixed = [switch for switch in self.runs if switch != TRIGGER]
        return max(fixed, key=lambda x: mean(run.valid.metrics["ndcg@20"] for run in self.runs[x]))

    def lead(self, other: Switch, metric: str) -> Lead:
        """The entropy trigger minus another schedule on the test part, users in pairs."""
        one, another = ([run.test for run in self.runs[x]] for x in (TRIGGER, other))
        return paired_lead(one, another, metric)


def run_schedules(
    dataset: Dataset,
    config: TrainingConfig,
    seeds: Sequence[int],
    fixed: Sequence[Switch] = FIXED,
) -> Schedules:
    """Train once per schedule and seed; the test part is read once per run.

    The config's seed and stage switch are replaced. There is at least one seed and one fixed
    schedule beside the entropy trigger. TrainingError if a model cannot be trained.
    """
    runs = {
        switch: tuple(
            _run_trial(dataset, config.model_copy(update={"seed": seed, "stage_switch": switch}))
            for seed in seeds
        )
        for switch in (TRIGGER, *fixed)
    }
    return Schedules(
        dataset_name=dataset.name, summary=dataset.summary, seeds=tuple(seeds), runs=runs
    )


def _run_trial(dataset: Dataset, config: TrainingConfig) -> Run:
    model = train_shown(dataset, config, f"stage switch {config.stage_switch}")
    return Run(
        seed=config.seed,
        history=model.history,
        best_epoch=model.best_epoch,
        trigger_epoch=model.trigger_epoch,
        experts=tuple(expert.name for expert in model.magnet.head.templates.experts),
        valid=evaluate(model.score, dataset, dataset.valid),
        test=evaluate(model.score, dataset, dataset.test),
    )


_METRICS = ("recall@20", "ndcg@20")
PROTOCOL = EvaluationProtocol(
    "schedule",
    """\
Schedules: all runs of a seed differ only in what starts the router's second stage, specialisation:
the entropy trigger, which has no setting that depends on the data, or a fixed number of the
router's epochs, or nothing ever. Each keeps the router's best epoch by validation NDCG@20, whatever
the stage, and meets the test part once. The smallest share is that of the expert with the least
routing weight, 1 being an even share: over all of the router's epochs before specialisation, and in
the epoch that is kept. ± is the standard deviation over seeds; the
last columns are the trigger minus the row on the test part, with the 95 % interval of a paired
bootstrap over users (each user's value averaged over seeds); where the interval holds zero it is a
tie.""",
)


def label(switch: Switch) -> str:
    """A schedule's name for people."""
    if switch == TRIGGER:
        return "entropy trigger"
    if switch == "never":
        return "never"
    return "from the start" if switch == 0 else f"after {switch} epochs"


def as_markdown(result: Schedules, command: str, picture: str | None) -> str:
    """The data set's section; `command` is what made it, `picture` where its plot lies."""
    title = f"{result.dataset_name}: when the second stage begins"
    parts = [
        *opening(title, result.summary, result.seeds, command),
        _table(result),
        _verdict(result),
    ]
    if picture is not None:
        parts.append(f"![Both entropies, expert shares, validation and the trigger]({picture})")
    return "\n\n".join(parts)


def _table(result: Schedules) -> str:
    header = [
        "second stage begins",
        "after epoch",
        "best epoch",
        "valid R@20",
        "valid N@20",
        "test R@20",
        "test N@20",
        "smallest share before",
        "smallest share kept",
        "trigger minus it, Recall@20",
        "trigger minus it, NDCG@20",
    ]
    rows = []
    for switch, runs in result.runs.items():
        leads = [
            "" if switch == TRIGGER else str(result.lead(switch, metric)) for metric in _METRICS
        ]
        rows.append(
            [
                f"**{label(switch)}**" if switch == TRIGGER else label(switch),
                ", ".join(
                    "never" if run.trigger_epoch is None else str(run.trigger_epoch) for run in runs
                ),
                ", ".join(str(run.best_epoch) for run in runs),
                *(figure([run.valid.metrics[metric] for run in runs]) for metric in _METRICS),
                *(figure([run.test.metrics[metric] for run in runs]) for metric in _METRICS),
                _least([run.smallest_share_in_coverage for run in runs]),
                _least([run.smallest_share_at_best for run in runs]),
                *leads,
            ]
        )
    return table(header, rows)


def _least(shares: list[float | None]) -> str:
    known = [share for share in shares if share is not None]
    return f"{min(known):.3f}" if known else ""


def _verdict(result: Schedules) -> str:
    best = result.best_fixed()
    reached = mean(run.valid.metrics["ndcg@20"] for run in result.runs[best])
    recall, ndcg = (str(result.lead(best, metric)) for metric in _METRICS)
    return (
        f"The best fixed schedule on validation is “{label(best)}” (NDCG@20 {reached:.4f}); the "
        f"entropy trigger minus it on the test part: Recall@20 {recall}, NDCG@20 {ndcg}."
    )


def as_json(result: Schedules) -> dict[str, object]:
    """Numbers by schedule, and every run's history."""
    return {
        "dataset": result.dataset_name,
        "summary": result.summary,
        "seeds": list(result.seeds),
        "best_fixed": result.best_fixed(),
        "schedules": {
            str(switch): {
                "valid": {m: spread([run.valid.metrics[m] for run in runs]) for m in _METRICS},
                "test": {m: spread([run.test.metrics[m] for run in runs]) for m in _METRICS},
                "trigger_minus_it": {m: result.lead(switch, m).as_json() for m in _METRICS},
                "runs": [_run_json(run) for run in runs],
            }
            for switch, runs in result.runs.items()
        },
    }


def _run_json(run: Run) -> dict[str, object]:
    return {
        "seed": run.seed,
        "best_epoch": run.best_epoch,
        "trigger_epoch": run.trigger_epoch,
        "smallest_share_in_coverage": run.smallest_share_in_coverage,
        "smallest_share_at_best": run.smallest_share_at_best,
        "history": [record.model_dump() for record in run.history],
    }


def draw_schedules(result: Schedules) -> str:
    """The SVG of the first seed's runs: the trigger's in full, of the others their validation."""
    run = result.runs[TRIGGER][0]
    validation = tuple(
        Series(
            name=label(switch),
            values=tuple(record.valid_ndcg20 for record in runs[0].history),
            colour=INK if switch == TRIGGER else COLOURS[place % 6],
            width=2.5 if switch == TRIGGER else 1,
        )
        for place, (switch, runs) in enumerate(result.runs.items())
    )
    panels = [
        entropies(run.history),
        expert_shares(run.experts, [record.expert_shares for record in run.history]),
        Panel(title="validation NDCG@20, by what starts specialisation", series=validation),
    ]
    title = f"{result.dataset_name}: training in two stages, seed {run.seed}"
    return draw_lines(title, panels, specialisation(run.trigger_epoch))
