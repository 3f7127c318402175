"""The command `fit`: train and write the artifact, and publish models while training goes on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
from click.core import ParameterSource

from training.cli.config import data_options, training_options
from training.cli.fit import Outputs, assist, fit
from training.cli.options import FOLDER, Command, ray_option, replacing, usable_namespace
from training.cluster.training import train_together
from training.data.dataset import DataConfig
from training.fit.config import TrainingConfig
from training.fit.distributed import Processes
from training.publish.connection import PublishError
from training.publish.progress import listening
from training.publish.publisher import live_version, publish_artifact
from training.publish.registry import PublishPolicy

EARLY = PublishPolicy(gives_way=True)
FINISHED = PublishPolicy(wait_seconds=60.0)
"""Someone may be publishing by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisTargets:
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
@replacing(("redis_url", "namespace", "progress_url"), "targets", RedisTargets)
@ray_option
def fit_command(
    data: DataConfig,
    config: TrainingConfig,
    out: Path,
    targets: RedisTargets,
    address: str | None,
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
    if address is not None:
        out = out.resolve()
        data = data.model_copy(update={"folder": data.folder.resolve()})
    job = _Job(data, config, out, targets, publish_early, force)
    train_together(address, job.run, out, config.device)


@dataclass(frozen=True, slots=True)
class _Job:
    """What the command line says."""

    data: DataConfig
    config: TrainingConfig
    out: Path
    targets: RedisTargets
    publish_early: bool
    force: bool

    def run(self, processes: Processes) -> None:
        """Do it, or one process's share of it."""
        if not processes.leads:
            assist(self.data, self.config, processes)
            return
        url, namespace = self.targets.redis_url, self.targets.namespace
        watching_url = self.targets.progress_url or (url if self.publish_early else None)
        with listening(watching_url, namespace) as listener:
            train = partial(fit, self.data, self.config, self.out, processes, listener=listener)
            if not self.publish_early:
                train(Outputs(force=self.force))
            elif url is None:
                train(Outputs(on_early=lambda _: None, force=self.force))
            else:
                publish = partial(publish_artifact, redis_url=url, namespace=namespace)
                live_version(url, namespace)  # whatever stands in the way is known at once
                early, finished = (replace(x, force=self.force) for x in (EARLY, FINISHED))
                train(Outputs(on_early=partial(publish, policy=early), force=self.force))
                listener.step("publish")
                _publish_finished(self.out, partial(publish, policy=finished))


def _publish_finished(out: Path, publish: Callable[[Path], str]) -> None:
    try:
        publish(out)
    except PublishError as error:
        raise PublishError(
            f"{out} holds the finished model; only `magnet publish {out}` is left to do: {error}"
        ) from error
