"""The command `run`: data, model, Redis and service on this machine. `make run` is this.

magnet run                              the MovieLens-100K sample
magnet run --data DIR -- --max-epochs 5     own data, with options for the training
"""

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from deploy.local.http import curl_lines
from deploy.local.pipeline import Fitting
from deploy.local.processes import STOP_SIGNALS, Child
from deploy.local.sample import fetch_sample
from deploy.local.servers import HOST, claim_port, embedded_server, serve, wait_until_ready
from deploy.local.workspace import PROJECT, Running, Workspace
from service.ops.settings import Settings
from training.errors import ExplainedError
from training.publish import PublishPolicy, live_version, publish_artifact

SAMPLE_ARGUMENTS = ("--min-rating", "4")
"""In MovieLens a rating of 4 or 5 means that the user liked the film."""
_WAIT_FOR_PUBLISHER_SECONDS = 60.0
_DESCRIPTION = """\
Take your data (or get the sample), encode texts and pictures that have no features yet, train a
model, publish it to Redis and serve it. Whatever stands from an earlier run with the same data and
options is used again."""
_EPILOG = """\
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
    """Whose pictures are shown instead of those of the data."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command and register its options."""
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="your own data instead of the sample"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=PROJECT / ".magnet",
        help="where models, logs and the embedded server's data are kept (default: .magnet in the "
        "project)",
    )
    parser.add_argument(
        "--port", default=os.environ.get("PORT", "8000"), help="where to serve (default: 8000)"
    )
    parser.add_argument(
        "--redis-url",
        metavar="URL",
        default=os.environ.get("REDIS_URL") or None,
        help="publish to this Redis-protocol server and serve from it (default: an embedded Valkey "
        "server)",
    )
    parser.add_argument(
        "--no-encode",
        action="store_true",
        help="leave descriptions and pictures without features as they are",
    )
    parser.add_argument(
        "--fit-again", action="store_true", help="train even if a model of the same data stands"
    )
    parser.add_argument(
        "fit_arguments",
        nargs="*",
        metavar="-- OPTION",
        help="options for `fit`; for the sample the default is " + " ".join(SAMPLE_ARGUMENTS),
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    """Serve until stopped; 0 if stopped while serving, 130 before that."""
    for each in STOP_SIGNALS:
        signal.signal(each, _stop)
    with ExitStack() as stack:
        return _watch(_start(_launch(options), stack))


def _stop(_number: int, _frame: FrameType | None) -> None:
    """The first signal unwinds everything; later ones must not interrupt the unwinding."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _launch(options: argparse.Namespace) -> Launch:
    port: str = options.port
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise LaunchError(f"--port {port} is not a port; give a number from 1 to 65535")
    if options.data is not None and not options.data.is_dir():
        raise LaunchError(f"--data {options.data}: there is no such folder")
    settings = Settings.from_environment()
    arguments = tuple(options.fit_arguments)
    sample = options.data is None
    return Launch(
        data=options.data and options.data.resolve(),
        fit_arguments=arguments or SAMPLE_ARGUMENTS if sample else arguments,
        encode=not options.no_encode and not sample,
        fit_again=options.fit_again,
        workspace=Workspace(options.out.resolve()),
        port=int(port),
        redis_url=options.redis_url,
        namespace=settings.namespace,
        pictures=settings.pictures_dir and settings.pictures_dir.resolve(),
    )


def _start(launch: Launch, stack: ExitStack) -> list[Child]:
    """Bring everything up, what can fail early first; returns the children to watch."""
    claim_port(launch.port)
    stack.enter_context(launch.workspace.claimed())
    children: list[Child] = []
    redis_url = launch.redis_url
    if redis_url is None:
        log = launch.workspace.log("valkey")
        server = stack.enter_context(embedded_server(launch.workspace.valkey, log))
        children.append(server.child)
        redis_url = server.url
    live_version(redis_url, launch.namespace)
    data = launch.data or fetch_sample(launch.workspace.sample)
    fitted = Fitting(
        data=data,
        folder=launch.workspace.model(data),
        fit_arguments=launch.fit_arguments,
        encode=launch.encode,
        again=launch.fit_again,
        say=_say,
    ).run()
    live = live_version(redis_url, launch.namespace)
    retrained = live is not None and launch.workspace.retrained(fitted.data, live)
    if retrained and not launch.fit_again:
        _say(f"going on with {live}, which a retraining has made")
    else:
        publish_artifact(
            fitted.folder.artifact,
            redis_url,
            launch.namespace,
            policy=PublishPolicy(wait_seconds=_WAIT_FOR_PUBLISHER_SECONDS),
            report=_say,
        )
    shown = {"MAGNET_PICTURES_DIR": str(launch.pictures or data)}
    log = launch.workspace.log("service")
    service = stack.enter_context(serve(launch.port, redis_url, log, shown))
    children.append(service)
    base_url = f"http://{HOST}:{launch.port}"
    wait_until_ready(base_url, children)
    running = Running(redis_url=redis_url, namespace=launch.namespace, data=str(fitted.data))
    stack.enter_context(launch.workspace.announced(running))
    _say(f"\nServing: look at {base_url}, API at {base_url}/docs\n")
    for title, command in curl_lines(base_url, fitted.artifact):
        _say(f"  # {title}\n  {command}\n")
    _say("Ctrl-C stops everything.")
    return children


def _watch(children: list[Child]) -> int:
    try:
        while True:
            time.sleep(0.5)
            for child in children:
                child.check()
    except KeyboardInterrupt:
        _say("\nstopping")
        return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
