"""The experiments' commands: `benchmark`, `costs`, `cold-start`, `schedule` and so on."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from model.artifact.files import read_artifact
from model.runtime.artifact import ArtifactScorer
from training.cli.config import data_options, seeds_option, set_option
from training.cli.options import (
    FILE,
    FOLDER,
    Command,
    Function,
    Several,
    as_typed,
    ray_option,
    replacing,
    with_options,
)
from training.cluster.engine import engine_at
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.files import write_durably
from training.data.synthetic import read_planted
from training.data.tables import DataError
from training.evaluate.artifact import ArtifactEvaluation
from training.experiments import cold_start as cold_starts
from training.experiments import live_events as live_event_studies
from training.experiments import schedules
from training.experiments.benchmark import costs as measured_costs
from training.experiments.benchmark import leaders
from training.experiments.benchmark import report as benchmark_report
from training.experiments.benchmark.cache import OutcomeCache
from training.experiments.benchmark.runner import ABLATIONS, MODELS, BenchmarkPlan, run_benchmark
from training.experiments.faithfulness import as_text, measure_faithfulness
from training.experiments.model_report import render
from training.experiments.withheld import NothingToMeasureError
from training.export.report import find, make_lists
from training.fit.config import TrainingConfig
from training.reporting.documents import Outputs

log = logging.getLogger(__name__)

_WITHOUT = {"--json", "--ray", "--reuse"}
"""Options that a report does not repeat: they change nothing in it."""


outputs_options = with_options(
    click.option("--json", type=FILE, help="write all figures to this file"),
    click.option(
        "--document", type=FILE, help="replace the data set's section of this Markdown file"
    ),
    replacing(("json", "document"), "outputs", Outputs),
)
"""Where a report goes, beside standard output."""


def _benchmark_plan(
    config: TrainingConfig,
    seeds: int,
    models: tuple[str, ...] | None,
    ablate: tuple[str, ...] | None,
    tuning_minutes: float,
    published_protocol: bool,
) -> BenchmarkPlan:
    return BenchmarkPlan(
        seeds=tuple(range(seeds)),
        config=config,
        models=models or MODELS,
        ablations=tuple(ABLATIONS) if ablate == () else ablate or (),
        tuning_seconds=60 * tuning_minutes,
        published_protocol=published_protocol,
    )


@click.command(cls=Command)
@data_options
@seeds_option(3)
@click.option(
    "--models", cls=Several, type=click.Choice(MODELS), help="what to train  [default: all]"
)
@click.option(
    "--ablate",
    cls=Several,
    type=click.Choice(list(ABLATIONS)),
    metavar="VARIANT",
    help="also train MAGNET without some of its pieces, all of them one by one if none is named: "
    f"{', '.join(ABLATIONS)}",
)
@click.option(
    "--tuning-minutes",
    type=float,
    default=15.0,
    show_default=True,
    metavar="MINUTES",
    help="most time to tune one baseline; what is cut short is named in the report",
)
@click.option(
    "--published-protocol",
    is_flag=True,
    help="train every model on the validation positives too, once they have chosen settings and "
    "epochs, as published tables without a validation part do",
)
@click.option(
    "--reuse",
    type=FOLDER,
    help="take what was trained before from this folder, where data, settings, seeds and code are "
    "the same as when it was put there, and put the rest there",
)
@set_option
@outputs_options
@replacing(
    ("config", "seeds", "models", "ablate", "tuning_minutes", "published_protocol"),
    "plan",
    _benchmark_plan,
)
@ray_option
def benchmark(
    data: DataConfig,
    plan: BenchmarkPlan,
    reuse: Path | None,
    outputs: Outputs,
    address: str | None,
) -> None:
    """Tune every baseline, train it and MAGNET with each seed, and compare them on the test part.

    Baselines are tuned on the validation part. The table is by group, with paired bootstrap
    intervals.
    """
    dataset = _loaded(data)
    with engine_at(address) as engine:
        result = run_benchmark(dataset, plan, OutcomeCache(reuse) if reuse else None, engine)
    section = benchmark_report.as_markdown(result, as_typed(_WITHOUT))
    name = benchmark_report.section_name(result)
    outputs.write(name, section, benchmark_report.as_json(result), benchmark_report.PROTOCOL)


def share_option(text: str) -> Callable[[Function], Function]:
    """`--share`, of what is withheld from training."""
    return click.option(
        "--share",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.1,
        show_default=True,
        help=text,
    )


@click.command(cls=Command)
@data_options
@share_option("of the users, and of the items, that is withheld")
@seeds_option(1)
@set_option
@outputs_options
def cold_start(
    data: DataConfig, config: TrainingConfig, share: float, seeds: int, outputs: Outputs
) -> None:
    """Serve users and items that were withheld from training, and say how well.

    A share of the users is withheld from one training, and the interactions of a share of the items
    from another. What they get is compared with a model that was trained with them, content
    neighbours, popularity and chance, with paired bootstrap intervals.
    """
    dataset = _loaded(data)
    with _something_to_measure(data):
        result = cold_starts.run_cold_start(dataset, config, range(seeds), share)
    section = cold_starts.as_markdown(result, as_typed(_WITHOUT))
    figures = cold_starts.as_json(result)
    outputs.write(f"{dataset.name} cold-start", section, figures, cold_starts.PROTOCOL)


@click.command("live-events", cls=Command)
@data_options
@share_option("of the users that is withheld")
@seeds_option(1)
@set_option
@outputs_options
def live_events(
    data: DataConfig, config: TrainingConfig, share: float, seeds: int, outputs: Outputs
) -> None:
    """Serve users who were withheld from training by their first events, and say how well.

    After 1, 3, 5 and 10 events the lists of a model that has never seen these users are compared
    with those of a model that was trained with these events, and with popularity. Trains five
    models for each seed.
    """
    dataset = _loaded(data)
    with _something_to_measure(data):
        result = live_event_studies.run_live_events(dataset, config, range(seeds), share)
    section = live_event_studies.as_markdown(result, as_typed(_WITHOUT))
    figures = live_event_studies.as_json(result)
    outputs.write(f"{dataset.name} live-events", section, figures, live_event_studies.PROTOCOL)


@click.command(cls=Command)
@data_options
@seeds_option(1)
@set_option
@click.option("--plot", type=FILE, help="draw the first seed's runs into this SVG file")
@outputs_options
def schedule(
    data: DataConfig, config: TrainingConfig, seeds: int, plot: Path | None, outputs: Outputs
) -> None:
    """Train under the entropy trigger, and under fixed schedules, and compare what they reach.

    In a fixed schedule the router's second stage begins at once, after 5, 10 or 20 of its epochs,
    or never. Prints paired bootstrap intervals, and draws both entropies, expert shares and the
    trigger.
    """
    dataset = _loaded(data)
    if dataset.test.nnz == 0:
        raise DataError(
            data.folder,
            f"has no test positives under the split by {dataset.split}",
            "choose another --split",
        )
    result = schedules.run_schedules(dataset, config, range(seeds))
    section = schedules.as_markdown(result, as_typed(_WITHOUT), outputs.link(plot))
    if plot:
        plot.write_text(schedules.draw_schedules(result), encoding="utf-8")
    outputs.write(
        f"{dataset.name} schedule", section, schedules.as_json(result), schedules.PROTOCOL
    )


@click.command("leaders", cls=Command)
@click.argument("figures", type=FILE, nargs=-1, required=True)
@click.option("--document", type=FILE, help="replace the section of this Markdown file")
def leaders_command(figures: tuple[Path, ...], document: Path | None) -> None:
    """Print who leads on which data, and whether it is beyond chance.

    FIGURES are files that `benchmark --json` wrote, one per data set.
    """
    rankings = leaders.read_rankings(figures)
    section = leaders.as_markdown(rankings, as_typed())
    Outputs(document=document).write("leaders", section, {})


@click.command(cls=Command)
@data_options
@set_option
@click.option("--plot", type=FILE, help="draw both learning curves into this SVG file")
@outputs_options
def costs(data: DataConfig, config: TrainingConfig, plot: Path | None, outputs: Outputs) -> None:
    """Measure what training costs beside LightGCN with the sampled softmax, on one thread.

    Prints seconds of an epoch with the same batches and negatives, of whole fits, and peak memory.
    The picture has validation NDCG@20 against seconds.
    """
    dataset = _loaded(data)
    result = measured_costs.measure_costs(dataset, config)
    section = measured_costs.as_markdown(result, as_typed(_WITHOUT), outputs.link(plot))
    if plot:
        plot.write_text(measured_costs.draw_curves(result), encoding="utf-8")
    outputs.write(f"{dataset.name} costs", section, asdict(result))


def users_option(default: int, text: str) -> Callable[[Function], Function]:
    """`--users`, how many."""
    return click.option(
        "--users", type=click.IntRange(min=1), default=default, show_default=True, help=text
    )


@click.command
@click.argument("artifact", type=FOLDER, help="an artifact folder")
@click.option("--data", type=FOLDER, required=True, help="the folder it was trained on")
@users_option(500, "users drawn")
@click.option("--json", "json_file", type=FILE, help="write all figures to this file")
def faithfulness(artifact: Path, data: Path, users: int, json_file: Path | None) -> None:
    """Measure whether an artifact's explanations are true.

    Takes apart the scores of users' recommendations and test items, as users were known in
    training, and prints: the largest distance of a score from the sum of its parts; how often an
    item falls furthest without the expert that leads its explanation; and, where the data say which
    modality drives each user (planted.tsv), how often it is the one that leads.
    """
    evaluation = ArtifactEvaluation.open(artifact, data)
    manifest = evaluation.artifact.manifest
    if manifest.training.held_out != "unseen":
        log.info(f"{manifest.model_version} has learnt from the test items too")
    planted = read_planted(data, evaluation.dataset.user_ids, manifest.modalities)
    result = measure_faithfulness(evaluation, planted, users)
    click.echo("\n".join(as_text(result)))
    if json_file:
        json_file.write_text(json.dumps(asdict(result), indent=1) + "\n")


@click.command
@click.argument("artifact", type=FOLDER, help="an artifact folder")
@click.option("--out", type=FILE, help="where to write the page  [default: ARTIFACT.html]")
@users_option(1000, "users whose lists are made")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="of the draw of users and items"
)
def report(artifact: Path, out: Path | None, users: int, seed: int) -> None:
    """Draw what an artifact has learnt, as one HTML page that needs no network.

    It shows where each expert leads and which serve nobody, which experts serve which users and
    items, what lists show of the long tail, and where items lie.
    """
    folder = artifact.resolve()
    opened = read_artifact(folder)
    manifest = opened.manifest
    lists = make_lists(
        ArtifactScorer.of(opened),
        users,
        seed,
        lambda done, of: log.info(f"lists of {done:,} of {of:,} users"),
    )
    experts = [expert.name for expert in manifest.experts]
    target = out or folder.with_name(f"{folder.name}.html")
    page = render(manifest, find(opened.tensors, experts, manifest.modalities, lists, seed))
    write_durably(target, lambda partial: partial.write_text(page, encoding="utf-8"))
    click.echo(target)


@contextmanager
def _something_to_measure(data: DataConfig) -> Iterator[None]:
    """DataError if what is withheld has no test positives."""
    try:
        yield
    except NothingToMeasureError as error:
        raise DataError(
            data.folder, str(error), "raise --share or choose another --split"
        ) from error


def _loaded(data: DataConfig) -> Dataset:
    dataset = load_dataset(data)
    log.info(dataset.summary)
    return dataset
