"""The whole product on this machine: data, model, Redis, service. This is `make run`.

    python -m deploy.local                              the MovieLens-100K sample
    python -m deploy.local --data DIR -- --epochs 5     own data, with options for the training

Composes the parts and re-uses what stands; knows nothing about how any of them works.
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

from deploy.curls import curl_lines
from deploy.embedded import embedded_server
from deploy.model_folder import ModelFolder, Recipe
from deploy.processes import STOP_SIGNALS, Child, ChildDied
from deploy.sample import SampleError, fetch_sample
from deploy.server import HOST, PortTaken, claim_port, serve, wait_until_ready
from deploy.workspace import PROJECT, Running, Workspace, WorkspaceBusy
from model.contract.artifact import Artifact
from service.settings import Settings
from training.publish import PublishError, PublishPolicy, live_version, publish_artifact

SAMPLE_ARGUMENTS = ("--min-rating", "4")
"""In MovieLens a rating of 4 or 5 means that the user liked the film."""
_WAIT_FOR_PUBLISHER_SECONDS = 60.0
_DESCRIPTION = """\
Get the sample data (or take your own), train a model, publish it to Redis and serve it.
Whatever stands from an earlier run is used again."""
_EPILOG = """\
environment:
  PORT        where to serve (default 8000)
  REDIS_URL   a Redis-protocol server to publish to and serve from
              (default: an embedded Valkey server, its data in the state folder)
  MAGNET_*    settings of the service, see docs/configuration.md"""


class LaunchError(RuntimeError):
    """The stack cannot be started; the message says what to do."""


_EXPLAINED = (ChildDied, LaunchError, PortTaken, PublishError, SampleError, WorkspaceBusy)
"""Errors whose message is all that a user needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What the command line and the environment ask for."""

    data: Path | None
    fit_arguments: tuple[str, ...]
    workspace: Workspace
    port: int
    redis_url: str | None
    namespace: str


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped; 0 if stopped while serving, 130 before that, 1 with a message on error."""
    for each in STOP_SIGNALS:
        signal.signal(each, _stop)
    try:
        with ExitStack() as stack:
            return _watch(_start(_read_launch(arguments), stack))
    except KeyboardInterrupt:
        return 130
    except _EXPLAINED as error:
        sys.stderr.write(f"magnet: {error}\n")
        return 1


def _stop(_number: int, _frame: FrameType | None) -> None:
    """The first signal unwinds everything; later ones must not interrupt the unwinding."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _read_launch(arguments: list[str] | None) -> Launch:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="your own data instead of the sample"
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        default=PROJECT / ".magnet",
        help="where data, models and logs are kept (default: .magnet in the project)",
    )
    parser.add_argument(
        "fit_arguments",
        nargs="*",
        metavar="-- OPTION",
        help="options for `python -m training fit`; for the sample the default is "
        + " ".join(SAMPLE_ARGUMENTS),
    )
    options = parser.parse_args(arguments)
    port = os.environ.get("PORT", "8000")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise LaunchError(f"PORT={port} is not a port; give a number from 1 to 65535")
    if options.data is not None and not options.data.is_dir():
        raise LaunchError(f"--data {options.data}: there is no such folder")
    return Launch(
        data=options.data and options.data.resolve(),
        fit_arguments=tuple(options.fit_arguments),
        workspace=Workspace(options.state.resolve()),
        port=int(port),
        redis_url=os.environ.get("REDIS_URL") or None,
        namespace=Settings.from_environment().namespace,
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
    folder, artifact = _model(launch, data)
    live = live_version(redis_url, launch.namespace)
    if live is not None and launch.workspace.retrained(data, live):
        _say(f"going on with {live}, which a retraining has made")
    else:
        publish_artifact(
            folder.artifact,
            redis_url,
            launch.namespace,
            policy=PublishPolicy(wait_seconds=_WAIT_FOR_PUBLISHER_SECONDS),
            report=_say,
        )
    service = stack.enter_context(serve(launch.port, redis_url, launch.workspace.log("service")))
    children.append(service)
    base_url = f"http://{HOST}:{launch.port}"
    wait_until_ready(base_url, children)
    running = Running(redis_url=redis_url, namespace=launch.namespace, data=str(data))
    stack.enter_context(launch.workspace.announced(running))
    _say(f"\nServing: look at {base_url}, API at {base_url}/docs\n")
    for title, command in curl_lines(base_url, artifact):
        _say(f"  # {title}\n  {command}\n")
    _say("Ctrl-C stops everything.")
    return children


def _model(launch: Launch, data: Path) -> tuple[ModelFolder, Artifact]:
    """A whole artifact made from the data as they are now, trained only if there is none."""
    arguments = launch.fit_arguments
    if launch.data is None:
        arguments = arguments or SAMPLE_ARGUMENTS
    folder, recipe = launch.workspace.model(data), Recipe.of(data, arguments)
    artifact, why_not = folder.reusable(recipe)
    if artifact is None:
        _say(f"training on {data}: {why_not}")
        folder.begin(recipe)
        _fit(data, folder.artifact, arguments)
        artifact = folder.finish(recipe)
    else:
        _say(f"using the model {artifact.manifest.model_version} in {folder.artifact}")
    return folder, artifact


def _fit(data: Path, out: Path, arguments: tuple[str, ...]) -> None:
    """Train in a process of its own, whose progress goes to our output."""
    command = [sys.executable, "-m", "training", "fit", "--data", str(data), "--out", str(out)]
    with Child("the training", [*command, *arguments], cwd=PROJECT) as fit:
        status = fit.wait()
    if status != 0:
        raise LaunchError(f"the training failed (exit status {status}), see above")


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


if __name__ == "__main__":
    sys.exit(main())
