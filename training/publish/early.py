"""The command `fit`: train and write the artifact, and publish models while training goes on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
from click.core import ParameterSource

from training.cli.config import data_options, training_options
from training.cli.fit import Outputs, assist, fit
from training.cli.options import FOLDER, Command, replacing, usable_namespace
from training.data.dataset import DataConfig
from training.fit.config import TrainingConfig
from training.fit.distributed import joined
from training.publish.connection import PublishError
from training.publish.progress import listening
from training.publish.publisher import live_version, publish_artifact
from training.publish.registry import PublishPolicy

EARLY = PublishPolicy(gives_way=True)
FINISHED = PublishPolicy(wait_seconds=60.0)
"""Someone may be publishing by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The Redis that models go to, and the one that is told how training goes."""

    redis_url: str | None
    namespace: str
    progress_url: str | None


@click.command("fit", cls=Command)
@data_options
@click.option("--out", type=FOLDER, required=True, help="the artifact folder to write")
@training_options
@click.option(
    "--force",
    is_flag=True,
    help="replace a model of other data or settings at --out, and of another shop in Redis",
)
@click.option(
    "--publish-early",
    is_flag=True,
    help="write a model to --out as soon as it is better than the most popular items (seconds), "
    "and better ones while training goes on; publish them if there is a --redis-url",
)
@click.option(
    "--redis-url",
    envvar="REDIS_URL",
    help="with --publish-early: publish early models there while no finished one is live, and the "
    "finished one  [default: the variable REDIS_URL]",
)
@click.option(
    "--namespace",
    envvar="MAGNET_NAMESPACE",
    default="default",
    show_default=True,
    callback=usable_namespace,
    help="of --redis-url",
)
@click.option(
    "--progress-url",
    envvar="MAGNET_PROGRESS_URL",
    help="Redis of a service whose page shows this training while it runs  [default: --redis-url "
    "with --publish-early]",
)
@replacing(("redis_url", "namespace", "progress_url"), "told", Told)
def fit_command(
    data: DataConfig,
    config: TrainingConfig,
    out: Path,
    told: Told,
    **flags: bool,
) -> None:
    """Train on a folder of interactions and write an artifact.

    A run that was killed goes on where it was when started again with the same data and options.
    On several processors: torchrun --nproc-per-node=2 --no-python magnet fit ...
    """
    publish_early, force = flags["publish_early"], flags["force"]
    typed = click.get_current_context().get_parameter_source("redis_url")
    if not publish_early and typed == ParameterSource.COMMANDLINE:
        raise click.UsageError("--redis-url needs --publish-early; `publish` publishes an artifact")
    watching_url = told.progress_url or (told.redis_url if publish_early else None)
    with joined() as processes:
        if not processes.leads:
            assist(data, config, processes)
            return
        with listening(watching_url, told.namespace) as listener:
            train = partial(fit, data, config, out, processes, listener=listener)
            if not publish_early:
                train(Outputs(force=force))
            elif told.redis_url is None:
                train(Outputs(on_early=lambda _: None, force=force))
            else:
                url, namespace = told.redis_url, told.namespace
                publish = partial(publish_artifact, redis_url=url, namespace=namespace)
                live_version(url, namespace)  # whatever stands in the way is known at once
                train(
                    Outputs(
                        on_early=partial(publish, policy=replace(EARLY, force=force)), force=force
                    )
                )
                listener.step("publish")
                _publish_finished(out, partial(publish, policy=replace(FINISHED, force=force)))


def _publish_finished(out: Path, publish: Callable[[Path], str]) -> None:
    try:
        publish(out)
    except PublishError as error:
        raise PublishError(
            f"{out} holds the finished model; only `magnet publish {out}` is left to do: {error}"
        ) from error
