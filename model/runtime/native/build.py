"""`python -m model.runtime.native.build`: compile `kernels.c` with the C compiler of the machine.

The library's name holds a digest of the source and of the options, so that one of another source is
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
SOURCE = FOLDER / "kernels.c"
OPTIONS = ("-O3", "-std=gnu11", "-fopenmp-simd", "-fno-math-errno", "-fPIC", "-shared")


def library() -> Path:
    """Where the compiled copy of the source is, if there is one."""
    of = " ".join([*OPTIONS, platform.machine()]).encode()
    digest = hashlib.sha256(SOURCE.read_bytes() + of).hexdigest()[:12]
    return FOLDER / f"kernels-{digest}.so"


def build() -> Path:
    """Compile the source, unless that has been done; remove the libraries of others.

    Raises:
        OSError: there is no compiler, or the folder cannot be written to.
        subprocess.CalledProcessError: it cannot compile the source.
    """
    wanted = library()
    if wanted.exists():
        return wanted
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("there is no C compiler (Debian, Ubuntu: apt install gcc)")
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        made = Path(scratch) / wanted.name
        command = [*compiler.split(), *OPTIONS, "-o", str(made), str(SOURCE), "-lm"]
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
        sys.stderr.write(f"kernels.c is not compiled, numpy is used in its place: {reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
