"""Who leads on which data: the first table of docs/benchmarks.md, from kept figures of benchmarks.

It reads what `benchmark --json` wrote, one file per data set.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.tables import DataError
from training.experiments.baselines.registry import BASELINES
from training.experiments.benchmark.outcome import MAGNET
from training.reporting.documents import table

_METRICS = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one model reached on one data set, by one metric."""

    value: float
    """Mean over seeds."""
    lead: float | None
    """MAGNET's value minus this one, as a share of this one; None for MAGNET itself."""
    verdict: str
    """`ahead`, `behind` or `tie` of MAGNET, by the paired interval; empty for MAGNET itself."""

    def __str__(self) -> str:
        if self.lead is None:
            return f"{self.value:.4f}"
        tie = ", tie" if self.verdict == "tie" else ""
        return f"{self.value:.4f} ({self.lead:+.0%}{tie})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All models on one data set, by one metric."""

    data: str
    standings: dict[str, Standing]

    def best(self, without: str | None = None) -> str:
        """The model with the highest mean."""
        names = [name for name in self.standings if name != without]
        return max(names, key=lambda name: self.standings[name].value)


def read_rankings(paths: Sequence[Path]) -> dict[str, list[Ranking]]:
    """Rankings by metric, one per file; DataError if a file is not one of `benchmark --json`."""
    found: dict[str, list[Ranking]] = {metric: [] for metric in _METRICS}
    for path in paths:
        try:
            figures = json.loads(path.read_text(encoding="utf-8"))
            for metric, rankings in found.items():
                rankings.append(_ranking(figures, metric))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                path,
                f"has no figures of a benchmark with MAGNET ({error!r})",
                "make it with `magnet benchmark --json`",
            ) from error
    return found


def _ranking(figures: dict[str, Any], metric: str) -> Ranking:
    about = figures["benchmark"]
    names = [name for name in figures if name not in ("benchmark", "ablations")]
    suffix = ", published protocol" if about.get("published_protocol") else ""
    if MAGNET not in names:
        raise KeyError(MAGNET)
    return Ranking(
        data=f"{about['dataset']}{suffix}",
        standings={name: _standing(figures[name], metric) for name in names},
    )


def _standing(figures: dict[str, Any], metric: str) -> Standing:
    value = figures["test"][metric]["mean"]
    lead = figures["magnet_lead"].get(metric)
    if lead is None:
        return Standing(value=value, lead=None, verdict="")
    share = lead["mean"] / value if value > 0 else 0.0
    return Standing(value=value, lead=share, verdict=lead["verdict"])


def as_markdown(rankings: dict[str, list[Ranking]], command: str) -> str:
    """The section; `command` is what made it."""
    sentences = map(_sentence, *rankings.values())
    parts = ["## Who leads", "\n".join(sentences)]
    for metric, of_metric in rankings.items():
        parts += [
            f"{_METRICS[metric]}; in brackets, by how much MAGNET is ahead:",
            _table(of_metric),
        ]
    parts.append(
        "The best of a column is bold. *Tie*: the 95 % interval of a paired bootstrap over users "
        "holds zero, so chance may be the reason. Each data set has its section below. Made by:"
    )
    parts.append(f"```console\n{command}\n```")
    return "\n\n".join(parts)


def _sentence(*rankings: Ranking) -> str:
    """One data set, all metrics."""
    said = []
    for metric, ranking in zip(_METRICS.values(), rankings, strict=True):
        rival = ranking.best(without=MAGNET)
        standing = ranking.standings[rival]
        said.append(f"{metric}: {_against(rival, standing)}")
    return f"- **{rankings[0].data}** — {'; '.join(said)}."


def _against(rival: str, standing: Standing) -> str:
    share = f"{abs(standing.lead or 0):.0%}"
    if standing.verdict == "tie":
        return f"a tie with {_label(rival)} ({standing.lead:+.0%})"
    where = "ahead of" if standing.verdict == "ahead" else "behind"
    return f"MAGNET is {share} {where} {_label(rival)}"


def _table(rankings: Sequence[Ranking]) -> str:
    measured = {name for ranking in rankings for name in ranking.standings}
    names = [name for name in (MAGNET, *BASELINES, *sorted(measured)) if name in measured]
    return table(
        ["model", *(ranking.data for ranking in rankings)],
        [
            [_label(name), *(_cell(ranking, name) for ranking in rankings)]
            for name in dict.fromkeys(names)
        ],
    )


def _cell(ranking: Ranking, name: str) -> str:
    standing = ranking.standings.get(name)
    if standing is None:
        return ""
    return f"**{standing}**" if ranking.best() == name else str(standing)


def _label(name: str) -> str:
    if name == MAGNET:
        return "**MAGNET**"
    return BASELINES[name].label if name in BASELINES else name
