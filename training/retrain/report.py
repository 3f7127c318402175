"""A run's report for people: one HTML page that needs nothing from outside.

Knows a run's record; knows nothing about how it came about.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from training.experiments.reporting import Mark, Panel, Series, draw
from training.retrain.ledger import RunRecord

_INK = "var(--text)"
_COLOURS = ("var(--dominant)", "var(--complementary)")
_DASHES = ("", "7 3", "2 2", "9 3 2 3")
_METRICS = ("users", "ndcg@20", "recall@20", "ndcg@10", "recall@10")
_STYLE = Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def render(record: RunRecord) -> str:
    """The page."""
    result = record.result or "running"
    title = f"Retraining {escape(record.run_id)}"
    tone = "bad" if result in ("refused", "failed", "killed") else "good"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}: {escape(result)}</title><style>{_STYLE}</style></head><body>",
        f"<header><h1>{title} <span class='result {tone}'>{escape(result)}</span></h1>",
        f"<p class='reason'>{escape(record.reason)}</p></header><main>",
        _listed("The run", _facts(record)),
        _rules(record),
        _quality(record),
        _curves(record),
        _changes(record),
        _listed("Data", _data(record)),
        _listed("Entries and events that could not be used", record.rejected.items()),
        _listed("Seconds by step", ((name, f"{x:.1f}") for name, x in record.seconds.items())),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _data(record: RunRecord) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [(name, f"{count:,}") for name, count in record.data.items()]
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


def _rules(record: RunRecord) -> str:
    rows = [
        [
            "<td class='good'>passed</td>" if rule.passed else "<td class='bad'>REFUSED</td>",
            _cell(rule.name),
            _cell(rule.text),
        ]
        for rule in record.rules
    ]
    return _table("The gate", ("result", "rule", "what was seen"), rows)


def _quality(record: RunRecord) -> str:
    """All and every group, who by who."""
    places = sorted({name.rpartition("/")[0] for x in record.metrics.values() for name in x})
    rows = []
    for place in places:
        for who, values in record.metrics.items():
            found = [values.get(f"{place}/{name}" if place else name) for name in _METRICS]
            if any(value is not None for value in found):
                numbers = (f"<td class='n'>{_figure(value)}</td>" for value in found)
                rows.append([_cell(place or "all"), _cell(who), *numbers])
    return _table("Quality on the newest tenth of the likes", ("where", "who"), rows, _METRICS)


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1 and value == int(value) else f"{value:.4f}"


def _curves(record: RunRecord) -> str:
    history = record.history
    if not history:
        return ""
    panels = [
        *_losses(record),
        Panel(
            title="entropy over log K",
            series=(
                _line("of the mean routing", [x.coverage_entropy for x in history], _COLOURS[0]),
                _line("of single pairs", [x.pair_entropy for x in history], _COLOURS[1]),
            ),
        ),
        _shares(record),
        Panel(
            title="validation NDCG@20",
            series=(_line("NDCG@20", [x.valid_ndcg20 for x in history], _INK),),
        ),
    ]
    at = record.trigger_epoch
    mark = Mark(epoch=at, name=f"specialisation begins after epoch {at}") if at else None
    return "<h2>Training</h2>" + _scrolling("Training", draw("Training by epoch", panels, mark))


def _losses(record: RunRecord) -> list[Panel]:
    """The loss with what most of it is, the ranking term; then the other terms, far smaller."""
    history = record.history
    total = _line("loss", [x.loss for x in history], _INK)
    told = [name for name in history[-1].loss_terms if all(name in x.loss_terms for x in history)]
    terms = [
        _line(
            name.replace("_", " "),
            [x.loss_terms[name] for x in history],
            _COLOURS[n % 2],
            _DASHES[n // 2],
        )
        for n, name in enumerate(told)
    ]
    panels = [Panel(title="loss", series=(total, *terms[:1]))]
    if terms[1:]:
        panels.append(Panel(title="other terms of the loss", series=tuple(terms[1:])))
    return panels


def _shares(record: RunRecord) -> Panel:
    """Of every expert, in units of an even share."""
    places: dict[str, int] = {}
    lines = []
    for k, name in enumerate(record.experts):
        role = name.partition("_")[0]
        place = places[role] = places.get(role, -1) + 1
        values = [len(x.expert_shares) * x.expert_shares[k] for x in record.history]
        lines.append(_line(name, values, f"var(--{role}, {_INK})", _DASHES[place % len(_DASHES)]))
    return Panel(title="share of an expert (1: even)", series=tuple(lines))


def _line(name: str, values: Sequence[float], colour: str, dashes: str = "") -> Series:
    return Series(name=name, values=tuple(values), colour=colour, dashes=dashes)


def _changes(record: RunRecord) -> str:
    head = ("user", "no longer in her first ten", "instead")
    rows = [
        [_cell(change.user_id), _cell("; ".join(change.gone)), _cell("; ".join(change.came))]
        for change in record.changed
    ]
    return _table("Changed recommendations", head, rows)


def _cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"


def _table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], figures: Sequence[str] = ()
) -> str:
    """Nothing without rows; their cells are HTML, the last ones those of `figures`."""
    if not rows:
        return ""
    names = "".join(f"<th scope='col'>{escape(name)}</th>" for name in head)
    names += "".join(f"<th scope='col' class='n'>{escape(name)}</th>" for name in figures)
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h2>{title}</h2>{_scrolling(title, table)}"


def _scrolling(title: str, content: str) -> str:
    """Content that a narrow screen scrolls, by keys too."""
    return f"<div class='scroll' role='region' aria-label='{title}' tabindex='0'>{content}</div>"


def _listed(title: str, facts: Iterable[tuple[str, object]]) -> str:
    entries = [
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in facts
    ]
    return f"<h2>{title}</h2><dl class='facts'>{''.join(entries)}</dl>" if entries else ""
