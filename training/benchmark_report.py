"""A benchmark as JSON, as a section of docs/benchmarks.md and as a table for the terminal.

Knows how figures are shown; knows nothing about how they were reached.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from training.benchmark import COMPARED, MAGNET, Benchmark, Lead, Outcome
from training.evaluation import ITEM_GROUPS, USER_GROUPS, Evaluation

LABELS = {
    "popularity": "popularity",
    "item_knn": "ItemKNN",
    "rp3beta": "RP3beta",
    "ease": "EASE",
    "ease_recency": "EASE, recency-weighted histories",
    "lightgcn_bpr": "LightGCN, BPR",
    "lightgcn_ssm": "LightGCN, sampled softmax",
    MAGNET: "**MAGNET**",
}
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "coverage@20")
_INTRODUCTION = """# Benchmarks

Each section is written by one command, which stands in it; text between its markers is replaced
when the command runs again.
"""
_PROTOCOL = """\
Protocol: every item is ranked for every test user, her training items masked; Recall and NDCG at
10 and 20 are averaged over users with test items (ideal DCG over min(K, test items)). All models
get the same split. Settings and the stopping epoch are chosen by validation NDCG@20; the test part
is read once per finished model. ± is the standard deviation over seeds. Seconds per epoch include
the validation after it; a peak is that of the whole process while the model was tuned and trained.
Cold items have no training positive, tail items one to five, head items more; sparse users have
two or fewer. In an item group each user is scored on her test items of that group."""


def as_json(benchmark: Benchmark) -> dict[str, object]:
    """Plain numbers by model name, and under `benchmark` what they were measured on."""
    leads = {metric: benchmark.leads(metric) for metric in COMPARED}
    models: dict[str, object] = {}
    for name, outcome in benchmark.outcomes.items():
        models[name] = {
            "settings": outcome.settings,
            "test": {metric: _spread(_overall(outcome, metric)) for metric in METRICS},
            "groups": {
                group: {
                    key: _spread([test.groups[group][key] for test in outcome.tests])
                    for key in outcome.tests[0].groups[group]
                }
                for group in outcome.tests[0].groups
            },
            "fit_seconds": outcome.fit_seconds,
            "seconds_per_epoch": outcome.seconds_per_epoch,
            "peak_rss_mb": outcome.peak_rss_mb,
            "magnet_lead": {
                metric: _lead_json(leads[metric][name])
                for metric in COMPARED
                if name in leads[metric]
            },
        }
    about = {
        "dataset": benchmark.dataset_name,
        "summary": benchmark.summary,
        "seeds": list(benchmark.seeds),
        "left_out": benchmark.left_out,
    }
    return {"benchmark": about, **models}


def as_markdown(benchmark: Benchmark, command: str) -> str:
    """The section of docs/benchmarks.md, without its markers."""
    parts = [
        f"## {benchmark.dataset_name}",
        f"Data: {benchmark.summary}.",
        f"Seeds: {', '.join(map(str, benchmark.seeds))}. Made by:",
        f"```\n{command}\n```",
        _PROTOCOL,
        _overall_table(benchmark),
        "Recall@20 / NDCG@20 by group:",
        _group_table(benchmark),
    ]
    if MAGNET in benchmark.outcomes:
        parts += [
            "MAGNET minus each baseline, with the 95 % interval of a paired bootstrap over users "
            "(each user's value averaged over seeds); where the interval holds zero it is a tie:",
            _lead_table(benchmark),
            _verdict(benchmark),
        ]
    parts += [
        "Settings chosen:",
        "\n".join(f"- {_plain(n)}: `{o.settings}`" for n, o in benchmark.outcomes.items()),
    ]
    parts += [f"{_plain(name)}: {reason}" for name, reason in benchmark.left_out.items()]
    return "\n\n".join(parts)


def update_document(path: Path, benchmark: Benchmark, command: str) -> None:
    """Replace the data set's section of the document, or append it; all else stays as it is.

    Raises:
        ValueError: the document has a start marker without its end.
    """
    start, end = (f"<!-- benchmark {benchmark.dataset_name} {x} -->" for x in ("start", "end"))
    section = f"{start}\n{as_markdown(benchmark, command)}\n{end}"
    text = path.read_text(encoding="utf-8") if path.exists() else _INTRODUCTION
    if start in text:
        before, rest = text.split(start, 1)
        if end not in rest:
            raise ValueError(f"{path} has {start!r} but not {end!r}: restore it or remove both")
        text = before + section + rest.split(end, 1)[1]
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _overall_table(benchmark: Benchmark) -> str:
    header = ["model", "R@10", "R@20", "N@10", "N@20", "coverage@20", "fit s", "s/epoch", "peak MB"]
    rows = []
    for name, outcome in benchmark.outcomes.items():
        figures = [_figure(_overall(outcome, metric)) for metric in METRICS]
        epoch = outcome.seconds_per_epoch
        cost = [f"{outcome.fit_seconds:.1f}", "" if epoch is None else f"{epoch:.2f}"]
        rows.append([LABELS[name], *figures, *cost, f"{outcome.peak_rss_mb:.0f}"])
    return _table(header, rows)


def _group_table(benchmark: Benchmark) -> str:
    some = next(iter(benchmark.outcomes.values())).tests[0]
    groups = [group for group in (*ITEM_GROUPS, *USER_GROUPS) if group in some.groups]
    header = ["model", *(f"{group} ({some.groups[group]['users']:.0f} users)" for group in groups)]
    rows = [
        [
            LABELS[name],
            *(
                " / ".join(
                    f"{mean(test.groups[group][metric] for test in outcome.tests):.4f}"
                    for metric in COMPARED
                )
                for group in groups
            ),
        ]
        for name, outcome in benchmark.outcomes.items()
    ]
    return _table(header, rows)


def _lead_table(benchmark: Benchmark) -> str:
    leads = [benchmark.leads(metric) for metric in COMPARED]
    rows = [[LABELS[name], *(_lead_text(by_name[name]) for by_name in leads)] for name in leads[0]]
    return _table(["MAGNET against", "Recall@20", "NDCG@20"], rows)


def _verdict(benchmark: Benchmark) -> str:
    """One sentence per metric on the strongest baseline."""
    sentences = []
    for metric, label in zip(COMPARED, ("Recall@20", "NDCG@20"), strict=True):
        leads = benchmark.leads(metric)
        if not leads:
            continue
        best = min(leads, key=lambda name: leads[name].mean)
        value = mean(_overall(benchmark.outcomes[best], metric))
        lead = leads[best]
        sentences.append(
            f"{label}: MAGNET is {lead.mean / value:+.1%} against the strongest baseline "
            f"({_plain(best)}, {value:.4f}): {lead.verdict}."
        )
    return " ".join(sentences)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _overall(outcome: Outcome, metric: str) -> list[float]:
    tests: tuple[Evaluation, ...] = outcome.tests
    return [test.metrics[metric] for test in tests]


def _figure(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": mean(values), "std": stdev(values) if len(values) > 1 else 0.0}


def _lead_text(lead: Lead) -> str:
    return f"{lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}] {lead.verdict}"


def _lead_json(lead: Lead) -> dict[str, object]:
    return {"mean": lead.mean, "low": lead.low, "high": lead.high, "verdict": lead.verdict}


def _plain(name: str) -> str:
    return LABELS[name].strip("*")
