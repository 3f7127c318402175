"""A run's report for people: one HTML page that needs nothing from outside.

Knows a run's record; knows nothing about how it came about.
"""

from collections.abc import Iterable, Sequence
from html import escape

from training.retrain.record import RunRecord
from training.schedules.chart import Mark, Panel, Series, draw

_INK, _BLUE, _VERMILION = "#1a1a1a", "#0072b2", "#d55e00"
_ROLE_COLOURS = {"dominant": _BLUE, "balanced": "#009e73", "complementary": _VERMILION}
"""As in docs/response.svg; told apart by people of any colour vision (Okabe and Ito)."""
_DASHES = ("", "7 3", "2 2", "9 3 2 3")
_METRICS = ("users", "ndcg@20", "recall@20", "ndcg@10", "recall@10")
_STYLE = """
body { font: 15px/1.5 sans-serif; color: #1a1a1a; max-width: 900px; margin: 2rem auto;
       padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } svg { max-width: 100%; height: auto }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #e0e0e0 }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #b00020; font-weight: bold }
"""


def render(record: RunRecord) -> str:
    """The page."""
    result = record.result or "running"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>Retraining {escape(record.run_id)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Retraining {escape(record.run_id)}: {escape(result)}</h1>",
        f"<p>{escape(record.reason)}</p>",
        _table("The run", _facts(record)),
        _rules(record),
        _quality(record),
        _curves(record),
        _changes(record),
        _table("Data", [*record.data.items(), ("events in the log", record.events)]),
        _table("Events that could not be used", record.rejected.items()),
        _table("Seconds by step", ((name, f"{x:.1f}") for name, x in record.seconds.items())),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


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
        f"<tr><td class='{'' if rule.passed else 'bad'}'>{'passed' if rule.passed else 'REFUSED'}"
        f"</td><td>{escape(rule.name)}</td><td>{escape(rule.text)}</td></tr>"
        for rule in record.rules
    ]
    return f"<h2>The gate</h2><table>{''.join(rows)}</table>" if rows else ""


def _quality(record: RunRecord) -> str:
    """All and every group, who by who."""
    if not record.metrics:
        return ""
    places = sorted({name.rpartition("/")[0] for x in record.metrics.values() for name in x})
    rows = []
    for place in places:
        for who, values in record.metrics.items():
            found = [values.get(f"{place}/{name}" if place else name) for name in _METRICS]
            if any(value is not None for value in found):
                cells = [f"<td>{escape(place or 'all')}</td><td>{escape(who)}</td>"]
                cells += (f"<td class='n'>{_figure(value)}</td>" for value in found)
                rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in ("", "", *_METRICS))
    table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    return f"<h2>Quality on the newest tenth of the likes</h2>{table}"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1 and value == int(value) else f"{value:.4f}"


def _curves(record: RunRecord) -> str:
    history = record.history
    if not history:
        return ""
    panels = [
        Panel(title="loss", series=(_line("loss", [x.loss for x in history], _INK),)),
        Panel(
            title="entropy over log K",
            series=(
                _line("of the mean routing", [x.coverage_entropy for x in history], _BLUE),
                _line("of single pairs", [x.pair_entropy for x in history], _VERMILION),
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
    return "<h2>Training</h2>" + draw("by epoch", panels, mark)


def _shares(record: RunRecord) -> Panel:
    """Of every expert, in units of an even share."""
    places: dict[str, int] = {}
    lines = []
    for k, name in enumerate(record.experts):
        role = name.partition("_")[0]
        place = places[role] = places.get(role, -1) + 1
        values = [len(x.expert_shares) * x.expert_shares[k] for x in record.history]
        lines.append(
            _line(name, values, _ROLE_COLOURS.get(role, _INK), _DASHES[place % len(_DASHES)])
        )
    return Panel(title="share of an expert (1: even)", series=tuple(lines))


def _line(name: str, values: Sequence[float], colour: str, dashes: str = "") -> Series:
    return Series(name=name, values=tuple(values), colour=colour, dashes=dashes)


def _changes(record: RunRecord) -> str:
    if not record.changed:
        return ""
    rows = [
        f"<tr><td>{escape(change.user_id)}</td><td>{escape('; '.join(change.gone))}</td>"
        f"<td>{escape('; '.join(change.came))}</td></tr>"
        for change in record.changed
    ]
    head = "<tr><th>user</th><th>no longer in her first ten</th><th>instead</th></tr>"
    return f"<h2>Changed recommendations</h2><table>{head}{''.join(rows)}</table>"


def _table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    cells = [
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows
    ]
    return f"<h2>{title}</h2><table>{''.join(cells)}</table>" if cells else ""
