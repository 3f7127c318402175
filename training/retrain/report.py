"""A retraining's report for people: one HTML page that needs nothing from outside."""

from pathlib import Path

from training.reporting import pages
from training.reporting.charts import (
    COLOURS,
    DASHES,
    INK,
    Panel,
    Series,
    draw_lines,
    entropies,
    expert_shares,
    specialisation,
)
from training.retrain.runs import RunRecord

_METRICS = ("users", "ndcg@20", "recall@20", "ndcg@10", "recall@10")
_TERM_COLOURS = (COLOURS[0], COLOURS[4])


def render(record: RunRecord) -> str:
    """The page."""
    result = record.result or "running"
    return pages.render(
        Path(__file__).with_suffix(".html.j2"),
        run_id=record.run_id,
        result=result,
        failed=result in ("refused", "failed", "killed"),
        reason=record.reason,
        run=_facts(record),
        rules=record.rules,
        metrics=_METRICS,
        quality=_quality(record),
        curves=_curves(record),
        changed=[[x.user_id, "; ".join(x.gone), "; ".join(x.came)] for x in record.changed],
        data=_data(record),
        rejected=list(record.rejected.items()),
        capped=[
            *((f"user {x}", n) for x, n in record.capped_users.items()),
            *((f"unknown item {x}", n) for x, n in record.capped_items.items()),
        ],
        seconds=[(name, f"{x:.1f}") for name, x in record.seconds.items()],
    )


def _data(record: RunRecord) -> list[tuple[str, str]]:
    facts = [(name, f"{count:,}") for name, count in record.data.items()]
    facts.append(("events in the log", f"{record.events:,}"))
    if record.density is not None:
        facts.append(("density", f"{record.density:.3%}"))
    return facts


def _facts(record: RunRecord) -> list[tuple[str, object]]:
    start = "the live model's weights" if record.warm else f"scratch: {record.comparable}"
    finished = f"{record.finished_at:%Y-%m-%d %H:%M:%S %Z}" if record.finished_at else "not yet"
    return [
        ("namespace", record.namespace),
        ("started", f"{record.started_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("finished", finished),
        ("last step", record.step),
        ("was live before", record.champion or "nothing"),
        ("new version", record.version or "none"),
        ("live now", "yes" if record.live else "no"),
        ("new events", record.new_events),
        ("trained from", start),
        ("epochs, best", f"{len(record.history)}, {record.best_epoch}"),
        ("peak memory", f"{record.peak_mb:.0f} MB"),
    ]


def _quality(record: RunRecord) -> list[list[str]]:
    """Rows for all users and for every group, one per measured model."""
    places = sorted({name.rpartition("/")[0] for x in record.metrics.values() for name in x})
    rows = []
    for place in places:
        for who, values in record.metrics.items():
            found = [values.get(f"{place}/{name}" if place else name) for name in _METRICS]
            if any(value is not None for value in found):
                rows.append([place or "all", who, *map(_figure, found)])
    return rows


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1 and value == int(value) else f"{value:.4f}"


def _curves(record: RunRecord) -> str:
    """The SVG of the training; empty without epochs."""
    history = record.history
    if not history:
        return ""
    quality = Series(name="NDCG@20", values=[x.valid_ndcg20 for x in history], colour=INK)
    panels = [
        *_losses(record),
        entropies(history),
        expert_shares(record.experts, [x.expert_shares for x in history]),
        Panel(title="validation NDCG@20", series=[quality]),
    ]
    return draw_lines("Training by epoch", panels, specialisation(record.trigger_epoch or None))


def _losses(record: RunRecord) -> list[Panel]:
    """The loss with its largest term, the ranking; then the other terms, which are far smaller.

    A stage of a training has terms that others have not: each is drawn in the epochs that have it.
    """
    history = record.history
    total = Series(name="loss", values=[x.loss for x in history], colour=INK)
    names = dict.fromkeys(name for epoch in history for name in epoch.loss_terms)
    terms = [
        Series(
            name=name.replace("_", " "),
            values=[x.loss_terms[name] for x in history if name in x.loss_terms],
            at=[x.epoch for x in history if name in x.loss_terms],
            colour=_TERM_COLOURS[n % 2],
            dashes=DASHES[n // 2],
        )
        for n, name in enumerate(names)
    ]
    panels = [Panel(title="loss", series=[total, *terms[:1]])]
    if terms[1:]:
        panels.append(Panel(title="other terms of the loss", series=terms[1:]))
    return panels
