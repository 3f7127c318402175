"""Schedules side by side, as a section of Markdown and as plain numbers for JSON.

Knows how figures are shown; knows nothing about how they were reached.
"""

from collections.abc import Callable
from statistics import mean

from model.schedule import Switch
from training.benchmark.figures import lead_json, spread
from training.benchmark.markdown import figure, lead_text, table
from training.schedules.outcome import TRIGGER, Run, Schedules

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
