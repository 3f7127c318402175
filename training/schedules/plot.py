"""The picture of a run: both entropies, what every expert has, validation, and the trigger.

Knows runs; knows nothing about how lines are drawn.
"""

from training.schedules.chart import Mark, Panel, Series, draw
from training.schedules.outcome import TRIGGER, Run, Schedules
from training.schedules.report import label

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
