"""Schedules side by side, as a section of Markdown and as plain numbers for JSON.

Knows how figures are shown; knows nothing about how they were reached.
"""

# FOLDED training/experiments/schedules/report.py: What training reached under each way of starting its second stage.
#
#   Knows records and evaluations; knows nothing about how they came about or are shown.
#
# FOLDED training/experiments/schedules/report.py: The picture of a run: both entropies, what every expert has, validation, and the trigger.
#
#   Knows runs; knows nothing about how lines are drawn.
#

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from model.artifact.manifest import EpochRecord
from model.network.schedule import Switch
from training.evaluate.protocol import Evaluation
from training.experiments.benchmark.report import lead_json, spread
from training.experiments.outcome import Lead, paired_lead
from training.experiments.reporting import Mark, Panel, Series, draw, figure, lead_text, table

TRIGGER: Switch = "entropy"


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
        """The least that any expert had in an epoch before specialisation, 1 being a K-th.

        None if specialisation began at once.
        """
        return _smallest([x for x in self.history if x.stage == "coverage"])

    @property
    def smallest_share_at_best(self) -> float:
        """The least that any expert has in the epoch that is kept, 1 being a K-th."""
        smallest = _smallest([self.history[self.best_epoch - 1]])
        assert smallest is not None
        return smallest


def _smallest(records: Sequence[EpochRecord]) -> float | None:
    shares = [min(x.expert_shares) * len(x.expert_shares) for x in records]
    return min(shares) if shares else None


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


_METRICS = ("recall@20", "ndcg@20")
_PROTOCOL = """\
Protocol: all runs of a seed differ only in what starts the second stage: the entropy trigger, which
has no setting that depends on the data, or a fixed number of epochs, or nothing ever. Each keeps
its best epoch by validation NDCG@20, whatever the stage, and meets the test part once. The smallest
share is that of the expert with the least routing weight, 1 being an even share: over all epochs
before specialisation, and in the epoch that is kept. ± is the standard deviation over seeds; the
last columns are the trigger minus the row on the test part, with the 95 % interval of a paired
bootstrap over users (each user's value averaged over seeds); where the interval holds zero it is a
tie."""


def label(switch: Switch) -> str:
    """A schedule's name for people."""
    if switch == TRIGGER:
        return "entropy trigger"
    if switch == "never":
        return "never"
    return "from the start" if switch == 0 else f"after {switch} epochs"


def as_markdown(result: Schedules, command: str, picture: str | None) -> str:
    """The data set's section; `command` is what made it, `picture` where its plot lies."""
    parts = [
        f"## {result.dataset_name}: when the second stage begins",
        f"Data: {result.summary}.",
        f"Seeds: {', '.join(map(str, result.seeds))}. Made by:",
        f"```\n{command}\n```",
        _PROTOCOL,
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
            "" if switch == TRIGGER else lead_text(result.lead(switch, metric))
            for metric in _METRICS
        ]
        rows.append(
            [
                f"**{label(switch)}**" if switch == TRIGGER else label(switch),
                _each(runs, lambda run: run.trigger_epoch),
                _each(runs, lambda run: run.best_epoch),
                *(figure([run.valid.metrics[metric] for run in runs]) for metric in _METRICS),
                *(figure([run.test.metrics[metric] for run in runs]) for metric in _METRICS),
                _least([run.smallest_share_in_coverage for run in runs]),
                _least([run.smallest_share_at_best for run in runs]),
                *leads,
            ]
        )
    return table(header, rows)


def _each(runs: tuple[Run, ...], of: Callable[[Run], int | None]) -> str:
    """One value per seed."""
    return ", ".join("never" if of(run) is None else str(of(run)) for run in runs)


def _least(shares: list[float | None]) -> str:
    known = [share for share in shares if share is not None]
    return f"{min(known):.3f}" if known else ""


def _verdict(result: Schedules) -> str:
    best = result.best_fixed()
    reached = mean(run.valid.metrics["ndcg@20"] for run in result.runs[best])
    recall, ndcg = (lead_text(result.lead(best, metric)) for metric in _METRICS)
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
                "trigger_minus_it": {m: lead_json(result.lead(switch, m)) for m in _METRICS},
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


_INK = "#1a1a1a"
_ROLE_COLOURS = {"dominant": "#0072b2", "balanced": "#009e73", "complementary": "#d55e00"}
"""As in docs/response.svg; told apart by people of any colour vision (Okabe and Ito)."""
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
_DASHES = ("", "7 3", "2 2", "9 3 2 3")
"""Tell the experts of one role apart."""


def draw_schedules(result: Schedules) -> str:
    """The SVG of the first seed's runs: the trigger's in full, of the others their validation."""
    run = result.runs[TRIGGER][0]
    at = run.trigger_epoch
    return draw(
        f"{result.dataset_name}: training in two stages, seed {run.seed}",
        [_entropies(run), _shares(run), _validation(result)],
        None if at is None else Mark(epoch=at, name=f"specialisation begins after epoch {at}"),
    )


def _entropies(run: Run) -> Panel:
    coverage = tuple(record.coverage_entropy for record in run.history)
    pair = tuple(record.pair_entropy for record in run.history)
    return Panel(
        title="entropy over log K",
        series=(
            Series(name="of the mean routing", values=coverage, colour=_COLOURS[0], width=2),
            Series(name="of single pairs", values=pair, colour=_COLOURS[4], width=2),
        ),
    )


def _shares(run: Run) -> Panel:
    """Of every expert, in units of an even share."""
    places: dict[str, int] = {}
    lines = []
    for k, name in enumerate(run.experts):
        role = name.partition("_")[0]
        place = places[role] = places.get(role, -1) + 1
        lines.append(
            Series(
                name=name,
                values=tuple(len(x.expert_shares) * x.expert_shares[k] for x in run.history),
                colour=_ROLE_COLOURS.get(role, _INK),
                dashes=_DASHES[place % len(_DASHES)],
            )
        )
    return Panel(title="share of an expert (1: even)", series=tuple(lines))


def _validation(result: Schedules) -> Panel:
    lines = [
        Series(
            name=label(switch),
            values=tuple(record.valid_ndcg20 for record in runs[0].history),
            colour=_INK if switch == TRIGGER else _COLOURS[place % len(_COLOURS)],
            width=2.5 if switch == TRIGGER else 1,
        )
        for place, (switch, runs) in enumerate(result.runs.items())
    ]
    return Panel(title="validation NDCG@20, by what starts specialisation", series=tuple(lines))
