"""A benchmark as a section of Markdown, for the terminal and docs/benchmarks.md, and for JSON."""

from collections.abc import Callable, Mapping
from statistics import mean

from training.evaluate.protocol import ITEM_GROUPS, USER_GROUPS, VALIDATION_MASKED
from training.experiments.baselines.registry import BASELINES
from training.experiments.benchmark.outcome import (
    COMPARED,
    MAGNET,
    METRICS,
    WORTH,
    Benchmark,
    Comparison,
    Leads,
    Outcome,
)
from training.experiments.benchmark.runner import ABLATIONS
from training.experiments.figures import figure, opening, spread
from training.reporting.documents import EvaluationProtocol, table

PROTOCOL = EvaluationProtocol(
    "quality",
    """\
Every item is ranked for every test user, their training items masked; Recall and NDCG at 10 and 20
are averaged over users with test items (ideal DCG over min(K, test items)). All models get the same
split. Settings and the stopping epoch are chosen by validation NDCG@20; the test part is read once
per finished model. MAGNET has its default settings, but for those that the command sets. ± is the
standard deviation over seeds. `fit s` is one whole training with the chosen settings, without the
search for them; `s/epoch` includes the validation after it; a peak is that of the whole process
while the model was tuned and trained.

Cold items have no training positive, tail items one to five, head items more; sparse users have two
or fewer. In an item group each user is scored on their test items of that group. Where time splits
the data, `validation masked` scores all users on lists without their validation items as well: they
had these before what is tested, and no service lists what a user has had
(docs/adr/0008-lists-without-what-came-before.md).

A difference of two models has the 95 % interval of a paired bootstrap over users, each user's value
averaged over seeds. Where the interval holds zero it is a tie.""",
)
_PUBLISHED = """\
**Published protocol**: once validation had chosen settings and stopping epochs, every model was
trained on training and validation positives together, as in published tables that know no
validation part. Validation items are left out of the lists too, and count as training positives in
the groups. Compare these figures with such tables, and not with those of other sections."""
_METRIC_LABELS = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}


def section_name(benchmark: Benchmark) -> str:
    """Name of the section in a document, and its title."""
    suffix = ", published protocol" if benchmark.published_protocol else ""
    return f"{benchmark.dataset_name}{suffix}"


def as_json(benchmark: Benchmark) -> dict[str, object]:
    """Numbers by model name, `ablations` by variant, and under `benchmark` what was measured on.

    A lead over everything is named after its metric, one on a group `metric (group)`.
    """
    about = {
        "dataset": benchmark.dataset_name,
        "summary": benchmark.summary,
        "seeds": list(benchmark.seeds),
        "validation_users": benchmark.validation_users,
        "published_protocol": benchmark.published_protocol,
        "line_to_pass": {x.name: benchmark.line(x) for x in benchmark.measured(COMPARED)},
        "left_out": benchmark.left_out,
    }
    models = _outcomes_json(benchmark.outcomes, benchmark.baseline_leads())
    ablations = _outcomes_json(benchmark.ablations, benchmark.ablation_leads())
    return {"benchmark": about, **models, "ablations": ablations}


def _outcomes_json(outcomes: Mapping[str, Outcome], leads: Leads) -> dict[str, object]:
    return {
        name: {
            "settings": outcome.settings,
            "test": {m: spread([test.metrics[m] for test in outcome.tests]) for m in METRICS},
            "groups": {
                group: {
                    key: spread([test.groups[group][key] for test in outcome.tests])
                    for key in figures
                }
                for group, figures in outcome.tests[0].groups.items()
            },
            "fit_seconds": outcome.fit_seconds,
            "seconds_per_epoch": outcome.seconds_per_epoch,
            "peak_rss_mb": outcome.peak_rss_mb,
            "notes": list(outcome.notes),
            "magnet_lead": {
                compared.name: by_model[name].as_json()
                for compared, by_model in leads.items()
                if name in by_model
            },
        }
        for name, outcome in outcomes.items()
    }


def as_markdown(benchmark: Benchmark, command: str) -> str:
    """The data set's section; `command` is what made it."""
    parts = opening(section_name(benchmark), benchmark.summary, benchmark.seeds, command)
    if benchmark.published_protocol:
        parts.append(_PUBLISHED)
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
            "MAGNET minus each baseline:",
            _lead_table("MAGNET against", benchmark.baseline_leads(), _label),
        ]
    parts.append(_lines_to_pass(benchmark))
    if benchmark.ablations:
        parts += [
            "### What each piece is worth",
            _ablation_table(benchmark),
            "The full model minus each variant:",
            _lead_table("full model against", benchmark.ablation_leads(), _ablation_label),
        ]
    if benchmark.baselines:
        settings = (f"- {_label(n)}: `{x.settings}`" for n, x in benchmark.baselines.items())
        parts += ["Settings chosen:", "\n".join(settings)]
    notes = [
        *benchmark.left_out.items(),
        *((name, note) for name, x in benchmark.outcomes.items() for note in x.notes),
    ]
    if notes:
        parts += ["To know:", "\n".join(f"- {_label(name)}: {note}" for name, note in notes)]
    return "\n\n".join(parts)


def _overall_table(benchmark: Benchmark) -> str:
    header = ["model", "R@10", "R@20", "N@10", "N@20", "coverage@20", "fit s", "s/epoch", "peak MB"]
    rows = [
        [
            _bold_label(name),
            *(figure(outcome.values(Comparison(metric, None))) for metric in METRICS),
            f"{outcome.fit_seconds:.1f}",
            _epoch(outcome),
            f"{outcome.peak_rss_mb:.0f}",
        ]
        for name, outcome in benchmark.outcomes.items()
    ]
    return table(header, rows)


def _group_table(benchmark: Benchmark) -> str:
    measured = next(iter(benchmark.outcomes.values())).tests[0].groups
    groups = [x for x in (*ITEM_GROUPS, *USER_GROUPS, VALIDATION_MASKED) if x in measured]
    header = ["model", *(f"{x} ({measured[x]['users']:,.0f} users)" for x in groups)]
    rows = [
        [
            _bold_label(name),
            *(
                " / ".join(f"{mean(outcome.values(Comparison(m, x))):.4f}" for m in _METRIC_LABELS)
                for x in groups
            ),
        ]
        for name, outcome in benchmark.outcomes.items()
    ]
    return table(header, rows)


def _ablation_table(benchmark: Benchmark) -> str:
    variants = {
        "full model": benchmark.outcomes[MAGNET],
        **{_ablation_label(name): outcome for name, outcome in benchmark.ablations.items()},
    }
    compared = benchmark.measured(WORTH)
    header = ["model", *map(_comparison_label, compared), "s/epoch"]
    rows = [
        [label, *(figure(outcome.values(x)) for x in compared), _epoch(outcome)]
        for label, outcome in variants.items()
    ]
    return table(header, rows)


def _lead_table(title: str, leads: Leads, label: Callable[[str], str]) -> str:
    rows = [
        [label(name), *(str(by_model.get(name, "")) for by_model in leads.values())]
        for name in next(iter(leads.values()))
    ]
    return table([title, *map(_comparison_label, leads)], rows)


def _lines_to_pass(benchmark: Benchmark) -> str:
    """One sentence per figure on the strongest baseline without content."""
    sentences = []
    leads = benchmark.baseline_leads()
    for compared in benchmark.measured(COMPARED):
        line = benchmark.line(compared)
        if line is None:
            continue
        value = mean(benchmark.outcomes[line].values(compared))
        sentence = f"{_comparison_label(compared)}: {_label(line)} with {value:.4f}"
        lead = leads[compared].get(line)
        if lead is not None:
            relative = f" ({lead.mean / value:+.1%})" if value > 0 else ""
            sentence += f"; MAGNET is {lead.mean:+.4f}{relative} from it: {lead.verdict}"
        sentences.append(f"- {sentence}.")
    return "\n".join(["The line to pass, the best baseline that sees no content:", "", *sentences])


def _epoch(outcome: Outcome) -> str:
    return "" if outcome.seconds_per_epoch is None else f"{outcome.seconds_per_epoch:.2f}"


def _comparison_label(compared: Comparison) -> str:
    metric = _METRIC_LABELS[compared.metric]
    return metric if compared.group is None else f"{metric}, {compared.group}"


def _label(name: str) -> str:
    return "MAGNET" if name == MAGNET else BASELINES[name].label


def _bold_label(name: str) -> str:
    return "**MAGNET**" if name == MAGNET else _label(name)


def _ablation_label(name: str) -> str:
    return ABLATIONS[name].label
