"""`python -m model.runtime.native.build`: compile the C files of this folder.

The library's name holds a digest of the sources and of the options, so that one of other sources is
never loaded.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = sorted(FOLDER.glob("*.[ch]"))
_SUMS_IN_ANY_ORDER = ("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math")
"""Else the lanes of a vector are added one after the other, which takes longer than all products of
a row."""
OPTIONS = (
    *("-O3", "-std=gnu11", "-fopenmp-simd", "-fno-math-errno", "-fPIC", "-shared"),
    *_SUMS_IN_ANY_ORDER,
)


def library() -> Path:
    """Where the compiled copy of the sources is, if there is one."""
    of = " ".join([*OPTIONS, platform.machine()]).encode()
    texts = b"".join(source.read_bytes() for source in SOURCES)
    digest = hashlib.sha256(texts + of).hexdigest()[:12]
    return FOLDER / f"kernels-{digest}.so"


def build() -> Path:
    """Compile the sources, unless that has been done; remove the libraries of others.

    Raises:
        OSError: there is no compiler, or the folder cannot be written to.
        subprocess.CalledProcessError: it cannot compile the sources.
    """
    wanted = library()
    if wanted.exists():
        return wanted
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("there is no C compiler (Debian, Ubuntu: apt install gcc)")
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        made = Path(scratch) / wanted.name
        files = [str(source) for source in SOURCES if source.suffix == ".c"]
        command = [*compiler.split(), *OPTIONS, "-o", str(made), *files, "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        made.replace(wanted)
    for other in FOLDER.glob("kernels-*.so"):
        if other != wanted:
            other.unlink()
    return wanted


def main() -> int:
    """Build; exit status 1 with a reason if that cannot be done."""
    try:
        sys.stdout.write(f"{build()}\n")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
        sys.stderr.write(f"the C files are not compiled, numpy is used in its place: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
