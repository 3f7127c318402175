"""`python -m tests.rehearsal`: run both halves, or name what is missing for them."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.local.processes import ChildDied
from deploy.local.sample import SampleError, fetch_sample
from tests.rehearsal.client import CheckFailed
from tests.rehearsal.image import BuildError
from tests.rehearsal.performance import perform
from tests.rehearsal.preparation import prepare

IMPOSSIBLE = 77
"""Exit status where a rehearsal cannot be done at all, as test harnesses know it."""
_PROGRAMS = {
    "redis-server": "redis-server",
    "haproxy": "haproxy",
    "prometheus": "prometheus",
    "dnsmasq": "dnsmasq-base",
    "ip": "iproute2",
    "wget": "wget",
}
"""What must be there, and the Debian package that it is in."""
_NAMESPACES = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse; 0 if all is well, 1 with a message if not, 77 where it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        if options.inside is not None:
            perform(options.inside, options.user)
            return 0
        missing = _missing()
        if missing is not None:
            sys.stderr.write(f"a rehearsal cannot be done here: {missing}\n")
            return IMPOSSIBLE
        with tempfile.TemporaryDirectory(prefix="magnet-rehearsal-") as work:
            prepare(Path(work), options.data or fetch_sample())
            again = [sys.executable, "-m", "tests.rehearsal", "--inside", work]
            command = ["unshare", *_NAMESPACES, *again, "--user", options.user]
            return subprocess.run(command, check=False).returncode
    except (BuildError, ChildDied, CheckFailed, OSError, SampleError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.rehearsal",
        description="Do what `docker compose up` would, without an engine: perform the Dockerfile "
        "in clean roots, bring the services of docker-compose.yml up with their own configuration "
        "files, Debian's packages in place of ready-made images, and check the whole from outside.",
        epilog="Needs Linux, root, a package index for pip, and from Debian: "
        + " ".join(sorted(set(_PROGRAMS.values())))
        + ". Leaves nothing behind. Grafana is left out.",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="train on this folder (default: the sample)"
    )
    parser.add_argument(
        "--user", default="196", help="a user of the data to ask for (default: %(default)s)"
    )
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser


def _missing() -> str | None:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "it needs root on Linux, for namespaces and overlay mounts"
    packages = {each for program, each in _PROGRAMS.items() if shutil.which(program) is None}
    if packages:
        return f"apt install {' '.join(sorted(packages))}"
    done = subprocess.run(["unshare", *_NAMESPACES, "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else "this machine does not allow namespaces"
