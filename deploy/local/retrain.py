"""One retraining of what `make run` serves. This is `make retrain`.

python -m deploy.local.retrain [--out DIR] [--config FILE] [-- OPTION ...]
"""

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from deploy import module_command, module_environment, workspace_folder
from deploy.local.workspace import NotRunning, Workspace

CONFIG = Path(__file__).resolve().parents[1] / "retrain.toml"


def main(arguments: list[str] | None = None) -> int:
    """Become the retraining, with its exit status; 1 with a message if nothing is up."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.retrain",
        description="One retraining for what `make run` serves.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=workspace_folder(),
        help="that of magnet run (default: .magnet in the checkout, or here)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=CONFIG,
        help="settings, see docs/lifecycle.md (default: those of the sample)",
    )
    parser.add_argument(
        "options", nargs="*", metavar="-- OPTION", help="further options of `retrain`"
    )
    options = parser.parse_args(arguments)
    workspace = Workspace(options.out.resolve())
    try:
        running = workspace.running()
    except NotRunning as error:
        sys.stderr.write(f"magnet: {error}\n")
        return 1
    command = module_command("deploy.cli", "retrain", "--config", str(options.config))
    command += ["--data", running.data, "--state", str(workspace.retrain(Path(running.data)))]
    command += ["--namespace", running.namespace, *options.options]
    return _become(command, module_environment() | {"REDIS_URL": running.redis_url})


def _become(command: list[str], env: dict[str, str]) -> NoReturn:
    os.execve(sys.executable, command, env)


if __name__ == "__main__":
    sys.exit(main())
