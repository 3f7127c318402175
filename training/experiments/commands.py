"""The commands of the experiments: `benchmark`, `cold-start`, `schedule`, `faithfulness`, `report`.

The first functions do what a command does, from typed arguments. The `configure_...` functions
describe its options.
"""

import argparse
import json
import logging
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from model.artifact.files import read_artifact
from training.cli.app import positive_number
from training.cli.options import (
    add_data_options,
    add_seeds_option,
    add_set_option,
    data_config,
    data_options_of,
    training_config,
    training_options_of,
)
from training.data.dataset import DataConfig, Dataset, load_dataset
from training.data.files import write_durably
from training.data.synthetic import read_planted
from training.data.tables import DataError
from training.evaluate.artifact import ArtifactEvaluation
from training.experiments import schedules
from training.experiments.benchmark import report as benchmark_report
from training.experiments.benchmark.cache import OutcomeCache
from training.experiments.benchmark.runner import ABLATIONS, MODELS, BenchmarkPlan, run_benchmark
from training.experiments.cold_start import report as cold_start_report
from training.experiments.cold_start.runner import (
    ColdStartPlan,
    NothingToMeasureError,
    run_cold_start,
)
from training.experiments.faithfulness import as_text, measure_faithfulness
from training.experiments.model_report import find, make_lists, render
from training.fit.config import TrainingConfig
from training.reporting.documents import Outputs

log = logging.getLogger(__name__)

_TUNING_MINUTES = 15.0
_SHARE = 0.1
_EXPLAINED_USERS = 500
_LISTED_USERS = 1000


def benchmark(
    data: DataConfig, plan: BenchmarkPlan, outputs: Outputs, *, reuse: Path | None, command: str
) -> None:
    """Tune, train and test MAGNET and the baselines, and report it.

    Args:
        data: what is read.
        plan: models, seeds and limits.
        outputs: where the report goes.
        reuse: folder of outcomes to look up and to keep; None for none.
        command: what to type for the same report, quoted in it.
    """
    dataset = _loaded(data)
    result = run_benchmark(dataset, plan, OutcomeCache(reuse) if reuse else None)
    section = benchmark_report.as_markdown(result, command)
    outputs.write(dataset.name, section, benchmark_report.as_json(result))


def cold_start(data: DataConfig, plan: ColdStartPlan, outputs: Outputs, *, command: str) -> None:
    """Serve users and items that were withheld from training, and report it.

    Args:
        data: what is read.
        plan: seeds, settings and the share that is withheld.
        outputs: where the report goes.
        command: what to type for the same report, quoted in it.

    Raises:
        DataError: the withheld users or items have no test positive.
    """
    dataset = _loaded(data)
    try:
        result = run_cold_start(dataset, plan)
    except NothingToMeasureError as error:
        raise DataError(
            data.folder, str(error), "raise --share or choose another --split"
        ) from error
    section = cold_start_report.as_markdown(result, command)
    outputs.write(f"{dataset.name} cold-start", section, cold_start_report.as_json(result))


def schedule(
    data: DataConfig,
    config: TrainingConfig,
    num_seeds: int,
    outputs: Outputs,
    *,
    plot: Path | None,
    command: str,
) -> None:
    """Train under the entropy trigger and under fixed schedules, and report it.

    Args:
        data: what is read.
        config: of every run, but for its seed and stage switch.
        num_seeds: runs per schedule, with the seeds 0, 1, ...
        outputs: where the report goes.
        plot: the SVG file for the first seed's runs; None for no picture.
        command: what to type for the same report, quoted in it.

    Raises:
        DataError: the data have no test positives.
    """
    dataset = _loaded(data)
    if dataset.test.nnz == 0:
        raise DataError(
            data.folder,
            f"has no test positives under the split by {dataset.split}",
            "choose another --split",
        )
    result = schedules.run_schedules(dataset, config, range(num_seeds))
    link = None
    if plot and outputs.document:
        link = Path(os.path.relpath(plot, outputs.document.parent)).as_posix()
    section = schedules.as_markdown(result, command, link)
    if plot:
        plot.write_text(schedules.draw_schedules(result), encoding="utf-8")
    outputs.write(f"{dataset.name} schedule", section, schedules.as_json(result))


def faithfulness(artifact: Path, data: Path, *, num_users: int, json_file: Path | None) -> None:
    """Measure whether an artifact's explanations are true, and print the figures.

    Args:
        artifact: an artifact folder.
        data: the folder it was trained on.
        num_users: users drawn.
        json_file: where all figures go; None for nowhere.
    """
    held_out = ArtifactEvaluation.open(artifact, data)
    modalities = held_out.artifact.manifest.modalities
    planted = read_planted(data, held_out.dataset.user_ids, modalities)
    result = measure_faithfulness(held_out, planted, num_users)
    sys.stdout.write("\n".join(as_text(result)) + "\n")
    if json_file:
        json_file.write_text(json.dumps(asdict(result), indent=1) + "\n")


def report(artifact: Path, *, out: Path | None, num_users: int, seed: int) -> None:
    """Draw an artifact as one HTML page, and print where it is.

    Args:
        artifact: an artifact folder.
        out: the page; None for the folder's name with `.html` beside it.
        num_users: users whose lists are made.
        seed: of the draw of users and items.
    """
    folder = artifact.resolve()
    opened = read_artifact(folder)
    lists = make_lists(
        opened, num_users, seed, lambda done, of: log.info(f"lists of {done:,} of {of:,} users")
    )
    target = out or folder.with_name(f"{folder.name}.html")
    page = render(opened.manifest, find(opened, lists, seed))
    write_durably(target, lambda partial: partial.write_text(page, encoding="utf-8"))
    sys.stdout.write(f"{target}\n")


def _loaded(data: DataConfig) -> Dataset:
    dataset = load_dataset(data)
    log.info(dataset.summary)
    return dataset


def configure_benchmark(parser: argparse.ArgumentParser) -> None:
    """Describe `benchmark` and register its options."""
    parser.description = (
        "Tune every baseline on the validation part, train MAGNET and the baselines "
        "that have a seed with each seed, and print the table of the test part by group, with "
        "paired bootstrap intervals."
    )
    add_data_options(parser)
    parser.add_argument(
        "--seeds", type=int, default=3, help="seeds 0, 1, ... (default: %(default)s)"
    )
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, help="default: all of them"
    )
    parser.add_argument(
        "--ablate",
        nargs="*",
        choices=ABLATIONS,
        metavar="VARIANT",
        help="also train MAGNET without some of its pieces, all of them one by one if none is "
        f"named: {', '.join(ABLATIONS)}",
    )
    parser.add_argument(
        "--tuning-minutes",
        type=float,
        default=_TUNING_MINUTES,
        metavar="MINUTES",
        help="most time to tune one baseline; what is cut short is named in the report "
        "(default: %(default)g)",
    )
    parser.add_argument(
        "--reuse",
        type=Path,
        metavar="DIR",
        help="take what was trained before from this folder, where data, settings, seeds and "
        "code are the same as when it was put there, and put the rest there",
    )
    add_set_option(parser)
    _add_outputs(parser)
    parser.set_defaults(run=_run_benchmark, seed=0)


def _run_benchmark(options: argparse.Namespace) -> None:
    plan = BenchmarkPlan(
        seeds=tuple(range(options.seeds)),
        config=training_config(options),
        models=tuple(options.models),
        ablations=tuple(ABLATIONS) if options.ablate == [] else tuple(options.ablate or ()),
        tuning_seconds=60 * options.tuning_minutes,
    )
    more = ["--models", *options.models] if tuple(options.models) != MODELS else []
    if options.ablate is not None:
        more += ["--ablate", *options.ablate]
    if options.tuning_minutes != _TUNING_MINUTES:
        more += ["--tuning-minutes", f"{options.tuning_minutes:g}"]
    command = _command("benchmark", options, after=more)
    benchmark(data_config(options), plan, _outputs(options), reuse=options.reuse, command=command)


def configure_cold_start(parser: argparse.ArgumentParser) -> None:
    """Describe `cold-start` and register its options."""
    parser.description = (
        "Withhold a share of the users from training, and in another training the "
        "interactions of a share of the items; serve them without training, and print what that "
        "reaches beside a model that was trained with them, content neighbours, popularity and "
        "chance, with paired bootstrap intervals."
    )
    add_data_options(parser)
    parser.add_argument(
        "--share",
        type=_share,
        default=_SHARE,
        help="of the users, and of the items, that is withheld (default: %(default)s)",
    )
    add_seeds_option(parser)
    add_set_option(parser)
    _add_outputs(parser)
    parser.set_defaults(run=_run_cold_start, seed=0)


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return share


def _run_cold_start(options: argparse.Namespace) -> None:
    plan = ColdStartPlan(
        seeds=tuple(range(options.seeds)), config=training_config(options), share=options.share
    )
    share = ["--share", f"{options.share:g}"] if options.share != _SHARE else []
    command = _command("cold-start", options, before=share)
    cold_start(data_config(options), plan, _outputs(options), command=command)


def configure_schedule(parser: argparse.ArgumentParser) -> None:
    """Describe `schedule` and register its options."""
    parser.description = (
        "Train under the entropy trigger, and with a second stage that begins at once, "
        "after 5, 10 or 20 epochs, or never; print what each reaches, with paired bootstrap "
        "intervals, and draw both entropies, expert shares and the trigger."
    )
    add_data_options(parser)
    add_seeds_option(parser)
    add_set_option(parser)
    parser.add_argument("--plot", type=Path, help="draw the first seed's runs into this SVG file")
    _add_outputs(parser)
    parser.set_defaults(run=_run_schedule, seed=0)


def _run_schedule(options: argparse.Namespace) -> None:
    plot: Path | None = options.plot
    command = _command("schedule", options, after=["--plot", str(plot)] if plot else [])
    schedule(
        data_config(options),
        training_config(options),
        options.seeds,
        _outputs(options),
        plot=plot,
        command=command,
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--document", type=Path, help="replace the data set's section of this Markdown file"
    )


def _outputs(options: argparse.Namespace) -> Outputs:
    return Outputs(json=options.json, document=options.document)


def _command(
    name: str,
    options: argparse.Namespace,
    before: list[str] | None = None,
    after: list[str] | None = None,
) -> str:
    """The command as it should be typed to get the same report.

    `before` stands in front of the seeds, `after` behind the settings.
    """
    words = ["python", "-m", "training", name, *data_options_of(options), *(before or [])]
    words += ["--seeds", str(options.seeds), *training_options_of(options), *(after or [])]
    if options.document:
        words += ["--document", str(options.document)]
    return shlex.join(words)


def configure_faithfulness(parser: argparse.ArgumentParser) -> None:
    """Describe `faithfulness` and register its options."""
    parser.description = (
        "Take apart the scores of users' recommendations and test items, as users "
        "were known in training, and print: the largest distance of a score from the sum of its "
        "parts; how often an item falls furthest without the expert that leads its explanation; "
        "and, where the data say which modality drives each user (planted.tsv), how often it is "
        "the one that leads."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    parser.add_argument("--data", type=Path, required=True, help="the folder it was trained on")
    parser.add_argument(
        "--users",
        type=positive_number,
        default=_EXPLAINED_USERS,
        help="users drawn (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.set_defaults(
        run=lambda options: faithfulness(
            options.artifact, options.data, num_users=options.users, json_file=options.json
        )
    )


def configure_report(parser: argparse.ArgumentParser) -> None:
    """Describe `report` and register its options."""
    parser.description = (
        "Draw what an artifact has learnt, as one HTML page that needs no network: which experts "
        "serve which users and items, what its lists show of the long tail, and where items lie."
    )
    parser.add_argument("artifact", type=Path, help="an artifact folder")
    parser.add_argument("--out", type=Path, help="where to write the page (default: ARTIFACT.html)")
    parser.add_argument(
        "--users",
        type=positive_number,
        default=_LISTED_USERS,
        help="users whose lists are made (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the draw of users and items (default: %(default)s)"
    )
    parser.set_defaults(
        run=lambda options: report(
            options.artifact, out=options.out, num_users=options.users, seed=options.seed
        )
    )
