"""A benchmark as plain numbers for JSON.

Knows outcomes; knows nothing about how they are shown to people.
"""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from training.benchmark.outcome import METRICS, Benchmark, Comparison, Lead, Outcome


def as_json(benchmark: Benchmark) -> dict[str, object]:
    """Numbers by model name, `ablations` by variant, and under `benchmark` what was measured on.

    A lead over everything is named after its metric, one on a group `metric (group)`.
    """
    leads = {compared: benchmark.leads(compared) for compared in benchmark.compared}
    worth = {compared: benchmark.ablation_leads(compared) for compared in benchmark.worth}
    about = {
        "dataset": benchmark.dataset_name,
        "summary": benchmark.summary,
        "seeds": list(benchmark.seeds),
        "validation_users": benchmark.validation_users,
        "line_to_pass": {
            _name(compared): benchmark.line(compared) for compared in benchmark.compared
        },
        "left_out": benchmark.left_out,
    }
    models = {
        name: _outcome_json(outcome) | {"magnet_lead": _leads_json(leads, name)}
        for name, outcome in benchmark.outcomes.items()
    }
    ablations = {
        name: _outcome_json(outcome) | {"magnet_lead": _leads_json(worth, name)}
        for name, outcome in benchmark.ablations.items()
    }
    return {"benchmark": about, **models, "ablations": ablations}


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    groups = outcome.tests[0].groups
    return {
        "settings": outcome.settings,
        "test": {m: spread([test.metrics[m] for test in outcome.tests]) for m in METRICS},
        "groups": {
            group: {
                key: spread([test.groups[group][key] for test in outcome.tests])
                for key in groups[group]
            }
            for group in groups
        },
        "fit_seconds": outcome.fit_seconds,
        "seconds_per_epoch": outcome.seconds_per_epoch,
        "peak_rss_mb": outcome.peak_rss_mb,
        "notes": list(outcome.notes),
    }


def _leads_json(
    leads: Mapping[Comparison, Mapping[str, Lead]], name: str
) -> dict[str, dict[str, object]]:
    return {
        _name(compared): lead_json(by_name[name])
        for compared, by_name in leads.items()
        if name in by_name
    }


def lead_json(lead: Lead) -> dict[str, object]:
    """A lead with its interval and what that bears out."""
    return {"mean": lead.mean, "low": lead.low, "high": lead.high, "verdict": lead.verdict}


def _name(compared: Comparison) -> str:
    return compared.metric if compared.group is None else f"{compared.metric} ({compared.group})"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation over seeds."""
    return {"mean": mean(values), "std": stdev(values) if len(values) > 1 else 0.0}
