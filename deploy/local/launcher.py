"""The command `run`: data, model, Redis and service on this machine. `make run` is this.

magnet run                              the MovieLens-100K sample
magnet run --data DIR -- --max-epochs 5     own data, with options for the training
"""

import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import click
import numpy as np

from deploy import workspace_folder
from deploy.local.models import Models
from deploy.local.pipeline import Fitting
from deploy.local.processes import STOP_SIGNALS, Child
from deploy.local.sample import fetch_sample
from deploy.local.servers import (
    HOST,
    claim_port,
    embedded_server,
    get_json,
    serve,
    wait_until_ready,
)
from deploy.local.tables import data_folder
from deploy.local.workspace import Running, Workspace
from model.artifact.files import Artifact, ArtifactError, read_artifact
from model.artifact.tables import IdTable
from service.ops.settings import Settings
from training.errors import ExplainedError
from training.publish import live_version

SAMPLE_ARGUMENTS = ("--min-rating", "4")
"""In MovieLens a rating of 4 or 5 means that the user liked the film."""
_PAUSE_SECONDS = 0.25
_SESSION_ITEMS = 2
_ENOUGH_HISTORY = 20
"""The examples are of the first user with so many items: their list says something about them."""
_EPILOG = """\b
environment:
  PORT, REDIS_URL   instead of --port and --redis-url
  MAGNET_*          settings of the service, see docs/configuration.md"""


class LaunchError(ExplainedError):
    """The stack cannot be started; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the command line and the environment ask for."""

    data: Path | None
    fit_arguments: tuple[str, ...]
    encode: bool
    fit_again: bool
    workspace: Workspace
    port: int
    redis_url: str | None
    namespace: str
    pictures: Path | None
    """Folder whose pictures are shown instead of the data's."""


_FOLDER = click.Path(path_type=Path)


@click.command(epilog=_EPILOG)
@click.option(
    "--data",
    type=_FOLDER,
    help="your own data instead of the sample: a data folder, or tables that `import` reads",
)
@click.option(
    "--out",
    type=_FOLDER,
    default=workspace_folder,
    help="where models, logs and the embedded server's data are kept  [default: .magnet in the "
    "checkout, or here]",
)
@click.option(
    "--port",
    envvar="PORT",
    default="8000",
    show_default=True,
    help="where to serve",
)
@click.option(
    "--redis-url",
    envvar="REDIS_URL",
    help="publish to this Redis-protocol server and serve from it  [default: an embedded Valkey "
    "server]",
)
@click.option(
    "--no-encode",
    is_flag=True,
    help="leave descriptions and pictures without features as they are",
)
@click.option("--fit-again", is_flag=True, help="train even if a model of the same data stands")
@click.argument(
    "fit_arguments",
    nargs=-1,
    metavar="[-- OPTION...]",
    help=f"options for `fit`  [default for the sample: {' '.join(SAMPLE_ARGUMENTS)}]",
)
def run(data: Path | None, out: Path, **options: Any) -> int:
    """Take your data (or get the sample), train a model, publish it to Redis and serve it.

    An early model is served within seconds and makes way for better ones while training goes on.
    Tables are imported first. Texts and pictures that have no features yet are encoded. Whatever
    stands from an earlier run with the same data and options is used again.
    """
    for each in STOP_SIGNALS:
        signal.signal(each, _stop)
    with ExitStack() as stack:
        return _watch(*_start(_launch(data, out, **options), stack))


def _stop(_number: int, _frame: FrameType | None) -> None:
    """The first signal unwinds everything; later ones must not interrupt the unwinding."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _launch(
    data: Path | None,
    out: Path,
    port: str,
    fit_arguments: tuple[str, ...],
    no_encode: bool,
    **options: Any,
) -> Launch:
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise LaunchError(f"--port {port} is not a port; give a number from 1 to 65535")
    if data is not None and not data.is_dir():
        raise LaunchError(f"--data {data}: there is no such folder")
    settings = Settings.from_environment()
    sample = data is None
    return Launch(
        data=data and data.resolve(),
        fit_arguments=fit_arguments or SAMPLE_ARGUMENTS if sample else fit_arguments,
        encode=not no_encode and not sample,
        port=int(port),
        workspace=Workspace(out.resolve()),
        namespace=settings.namespace,
        pictures=settings.pictures_dir and settings.pictures_dir.resolve(),
        **options,
    )


def _start(launch: Launch, stack: ExitStack) -> tuple[list[Child], Models]:
    """Bring everything up, what can fail early first; returns what to watch."""
    claim_port(launch.port)
    stack.enter_context(launch.workspace.claimed())
    children: list[Child] = []
    redis_url = launch.redis_url
    if redis_url is None:
        log = launch.workspace.log("valkey")
        kept = launch.workspace.valkey(launch.data or launch.workspace.sample)
        server = stack.enter_context(embedded_server(kept, log))
        children.append(server.child)
        redis_url = server.url
    live_version(redis_url, launch.namespace)
    data = launch.data or fetch_sample(launch.workspace.sample, _say)
    data = data_folder(data, launch.workspace, _say)
    model = stack.enter_context(
        Fitting(
            data=data,
            folder=launch.workspace.model(data),
            fit_arguments=launch.fit_arguments,
            encode=launch.encode,
            again=launch.fit_again,
            say=_say,
            progress_url=redis_url,
        ).begun()
    )
    live = live_version(redis_url, launch.namespace)
    retrained = live is not None and launch.workspace.retrained(model.data, live)
    models = Models(
        model=model,
        redis_url=redis_url,
        namespace=launch.namespace,
        gives_way=launch.redis_url is not None,
        retrained=live if retrained and not launch.fit_again else None,
        say=_say,
    )
    if not models.training:
        models.step()
    shown = {"MAGNET_PICTURES_DIR": str(launch.pictures or data)}
    log = launch.workspace.log("service")
    children.append(stack.enter_context(serve(launch.port, redis_url, log, shown)))
    while models.served is None:  # the service starts while a model is being made
        _pause(children)
        models.step()
    base_url = f"http://{HOST}:{launch.port}"
    wait_until_ready(base_url, children, models.served)
    running = Running(redis_url=redis_url, namespace=launch.namespace, data=str(model.data))
    stack.enter_context(launch.workspace.announced(running))
    early = " an early model" if models.training else ""
    _say(f"\nServing{early}: look at {base_url}, API at {base_url}/docs\n")
    for title, command in _http_examples(base_url, _artifact(model.folder.artifact)):
        _say(f"  # {title}\n  {command}\n")
    if launch.redis_url is None:  # one that was given may hold a password
        _say(f"Commands that ask its Valkey: REDIS_URL={redis_url} magnet models")
    if models.training:
        _say(
            "Training goes on: better models take over by themselves, at its end the finished one."
        )
    _say("Ctrl-C stops everything.")
    return children, models


def _artifact(folder: Path) -> Artifact:
    """What a folder holds, even if a training replaces it at this moment."""
    with suppress(ArtifactError):
        return read_artifact(folder)
    time.sleep(1)
    return read_artifact(folder)


def _http_examples(base_url: str, artifact: Artifact) -> Iterator[tuple[str, str]]:
    """What to try and how: (title, command) pairs for the model that `base_url` serves."""
    tensors = artifact.tensors
    enough = np.minimum(np.diff(tensors["seen_offsets"]), _ENOUGH_HISTORY)
    user = IdTable(tensors["user_ids_blob"], tensors["user_ids_offsets"])[int(np.argmax(enough))]
    path = f"{base_url}/v1/users/{quote(user, safe='')}"
    shown = [item["item_id"] for item in get_json(f"{path}/recommendations?k=20")["items"]]
    items = shown[:_SESSION_ITEMS]
    yield f"what to recommend to user {user}", _curl(f"{path}/recommendations?k=3")
    if not items:
        return
    yield f"why item {items[0]}", _curl(f"{path}/explanations/{quote(items[0], safe='')}")
    body = json.dumps({"session_items": items, "k": 3})
    options = ["-H", "content-type: application/json", "-d", body]
    yield (
        f"a visitor who looked at {' and '.join(items)}",
        _curl(f"{base_url}/v1/recommendations", *options),
    )


def _curl(url: str, *options: str) -> str:
    return shlex.join(["curl", "-s", url, *options])


def _watch(children: list[Child], models: Models) -> int:
    try:
        while True:
            _pause(children)
            models.step()
    except KeyboardInterrupt:
        _say("\nstopping")
        return 0


def _pause(children: list[Child]) -> None:
    time.sleep(_PAUSE_SECONDS)
    for child in children:
        child.check()


def _say(line: str) -> None:
    """Write a line; on a terminal, in the place of the bar that a training draws there."""
    bar = "\r\x1b[2K" if sys.stdout.isatty() else ""
    sys.stdout.write(f"{bar}{line}\n")
    sys.stdout.flush()
