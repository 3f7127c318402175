"""A benchmark as a section of Markdown, for the terminal and for docs/benchmarks.md.

Knows how figures are shown; knows nothing about how they were reached.
"""

# FOLDED training/experiments/benchmark/report.py: A benchmark as plain numbers for JSON.
#
#   Knows outcomes; knows nothing about how they are shown to people.
#

from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev

from training.evaluate.protocol import ITEM_GROUPS, USER_GROUPS, VALIDATION_MASKED
from training.experiments.baselines import CATALOGUE
from training.experiments.benchmark.runner import ABLATIONS
from training.experiments.outcome import MAGNET, METRICS, Benchmark, Comparison, Lead, Outcome
from training.experiments.reporting import figure, lead_text, table


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


_PROTOCOL = """\
Protocol: every item is ranked for every test user, her training items masked; Recall and NDCG at
10 and 20 are averaged over users with test items (ideal DCG over min(K, test items)). All models
get the same split. Settings and the stopping epoch are chosen by validation NDCG@20; the test part
is read once per finished model. ± is the standard deviation over seeds. Seconds per epoch include
the validation after it; a peak is that of the whole process while the model was tuned and trained.
Cold items have no training positive, tail items one to five, head items more; sparse users have
two or fewer. In an item group each user is scored on her test items of that group. Where time
splits the data, `validation masked` scores all users on lists without their validation items as
well: they had these before what is tested, and no service lists what a user has had
(docs/adr/0008-lists-without-what-came-before.md)."""
_INTERVALS = (
    "with the 95 % interval of a paired bootstrap over users (each user's value averaged over "
    "seeds); where the interval holds zero it is a tie:"
)


def as_markdown(benchmark: Benchmark, command: str) -> str:
    """The data set's section; `command` is what made it."""
    parts = [
        f"## {benchmark.dataset_name}",
        f"Data: {benchmark.summary}.",
        f"Seeds: {', '.join(map(str, benchmark.seeds))}. Made by:",
        f"```\n{command}\n```",
        _PROTOCOL,
    ]
    if benchmark.validation_users is not None:
        parts.append(
            f"Baselines were tuned on the validation positives of {benchmark.validation_users:,} "
            "users, drawn at random."
        )
    parts += [
        _overall_table(benchmark),
        "Recall@20 / NDCG@20 by group:",
        _group_table(benchmark),
    ]
    if MAGNET in benchmark.outcomes and benchmark.baselines:
        parts += [
            f"MAGNET minus each baseline, {_INTERVALS}",
            _lead_table(
                "MAGNET against",
                {c: benchmark.leads(c) for c in benchmark.compared},
                _baseline_label,
            ),
        ]
    parts.append(_lines_to_pass(benchmark))
    if benchmark.ablations:
        parts += [
            "### What each piece is worth",
            _ablation_table(benchmark),
            f"The full model minus each variant, {_INTERVALS}",
            _lead_table(
                "full model against",
                {c: benchmark.ablation_leads(c) for c in benchmark.worth},
                lambda name: ABLATIONS[name].label,
            ),
        ]
    parts += ["Settings chosen:", _settings(benchmark)]
    parts += [_list_of_notes(benchmark)] if _list_of_notes(benchmark) else []
    return "\n\n".join(parts)


def _overall_table(benchmark: Benchmark) -> str:
    header = ["model", "R@10", "R@20", "N@10", "N@20", "coverage@20", "fit s", "s/epoch", "peak MB"]
    rows = []
    for name, outcome in benchmark.outcomes.items():
        figures = [figure(outcome.values(Comparison(metric, None))) for metric in METRICS]
        epoch = outcome.seconds_per_epoch
        cost = [f"{outcome.fit_seconds:.1f}", "" if epoch is None else f"{epoch:.2f}"]
        rows.append([_bold_label(name), *figures, *cost, f"{outcome.peak_rss_mb:.0f}"])
    return table(header, rows)


def _group_table(benchmark: Benchmark) -> str:
    some = next(iter(benchmark.outcomes.values())).tests[0]
    groups = [
        group for group in (*ITEM_GROUPS, *USER_GROUPS, VALIDATION_MASKED) if group in some.groups
    ]
    header = [
        "model",
        *(f"{group} ({some.groups[group]['users']:,.0f} users)" for group in groups),
    ]
    rows = [
        [_bold_label(name), *(_recall_ndcg(outcome, group) for group in groups)]
        for name, outcome in benchmark.outcomes.items()
    ]
    return table(header, rows)


def _ablation_table(benchmark: Benchmark) -> str:
    variants = {
        "full model": benchmark.outcomes[MAGNET],
        **{ABLATIONS[name].label: outcome for name, outcome in benchmark.ablations.items()},
    }
    header = ["model", *(_comparison_label(compared) for compared in benchmark.worth), "s/epoch"]
    rows = [
        [
            label,
            *(figure(outcome.values(compared)) for compared in benchmark.worth),
            _epoch(outcome),
        ]
        for label, outcome in variants.items()
    ]
    return table(header, rows)


def _lead_table(
    title: str, leads: Mapping[Comparison, Mapping[str, Lead]], label: Callable[[str], str]
) -> str:
    names = next(iter(leads.values()))
    rows = [
        [label(name), *(lead_text(by[name]) if name in by else "" for by in leads.values())]
        for name in names
    ]
    return table([title, *map(_comparison_label, leads)], rows)


def _lines_to_pass(benchmark: Benchmark) -> str:
    """One sentence per figure on the strongest baseline without content."""
    sentences = []
    for compared in benchmark.compared:
        line = benchmark.line(compared)
        if line is None:
            continue
        value = mean(benchmark.outcomes[line].values(compared))
        sentence = f"{_comparison_label(compared)}: {_baseline_label(line)} with {value:.4f}"
        lead = benchmark.leads(compared).get(line)
        if lead is not None:
            relative = f" ({lead.mean / value:+.1%})" if value > 0 else ""
            sentence += f"; MAGNET is {lead.mean:+.4f}{relative} from it: {lead.verdict}"
        sentences.append(f"- {sentence}.")
    return "\n".join(["The line to pass, the best baseline that sees no content:", "", *sentences])


def _settings(benchmark: Benchmark) -> str:
    return "\n".join(
        f"- {_baseline_label(name)}: `{outcome.settings}`"
        for name, outcome in benchmark.outcomes.items()
    )


def _list_of_notes(benchmark: Benchmark) -> str:
    """What was left out, cut short or reused."""
    notes = [f"- {_baseline_label(name)}: {why}" for name, why in benchmark.left_out.items()]
    for name, outcome in benchmark.outcomes.items():
        notes += [f"- {_baseline_label(name)}: {note}" for note in outcome.notes]
    return "\n".join(["To know:", "", *notes]) if notes else ""


def _recall_ndcg(outcome: Outcome, group: str) -> str:
    figures = [outcome.values(Comparison(metric, group)) for metric in ("recall@20", "ndcg@20")]
    return " / ".join(f"{mean(values):.4f}" for values in figures)


def _epoch(outcome: Outcome) -> str:
    return "" if outcome.seconds_per_epoch is None else f"{outcome.seconds_per_epoch:.2f}"


def _comparison_label(compared: Comparison) -> str:
    metric = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}[compared.metric]
    return metric if compared.group is None else f"{metric}, {compared.group}"


def _baseline_label(name: str) -> str:
    return "MAGNET" if name == MAGNET else CATALOGUE[name].label


def _bold_label(name: str) -> str:
    return "**MAGNET**" if name == MAGNET else _baseline_label(name)
