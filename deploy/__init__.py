"""Launchers: the sample data, an embedded Redis-protocol server, both halves on one machine."""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
"""What holds the packages: a checkout, or what a wheel was installed into."""


def module_command(*words: str) -> list[str]:
    """The command that runs a module with this interpreter.

    A user's own `model.py` or `service/` in the working folder is not taken for ours.
    """
    return [sys.executable, "-P", "-m", *words]


def module_environment() -> dict[str, str]:
    """The environment of such a command, which finds our modules wherever it runs."""
    path = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def workspace_folder() -> Path:
    """`.magnet` of the checkout; of the working folder where there is no checkout."""
    checkout = (PROJECT / "pyproject.toml").is_file()
    return (PROJECT if checkout else Path.cwd()) / ".magnet"
