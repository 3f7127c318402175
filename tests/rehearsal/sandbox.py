"""A process in a root, network and process table of its own, as a container engine would run it.

The root is an overlay: writes lie over the original, which stays as it is. Uses util-linux
(`unshare`, `nsenter`, `setpriv`) and needs root.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SYSTEM = frozenset(["bin", "dev", "etc", "lib", "lib32", "lib64", "opt", "proc", "sbin", "usr"])
"""Top-level folders of this machine that are seen inside (pip may have wheels in opt)."""
MACHINE = Path("/")
_PYTHON_PREFIX = Path(sys.base_prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A file or folder of this machine inside the root."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """How one process is run.

    Attributes:
        below: the root that it begins with: this machine's, or that of an image.
        upper: a folder that lies over it and takes what is written.
        scratch: a folder beside it, for this sandbox only.
        uid: whom it runs as, in the group of the same number; 0 keeps all rights.
        python: whether this interpreter's installation is to be seen as /usr/local.
    """

    below: Path
    upper: Path
    scratch: Path
    environment: Mapping[str, str]
    uid: int = 0
    workdir: str = "/"
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[str, ...] = ()
    read_only: bool = False
    python: bool = True

    def command(self, words: Sequence[str]) -> list[str]:
        """The command line that runs `words`; whoever runs it decides about the network."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation"]
        return [*unshare, "private", "sh", "-euc", "\n".join([*self._mounts(), self._run(words)])]

    def _mounts(self) -> list[str]:
        root = self.scratch / "root"
        place = shlex.quote(str(root))
        lines = [shlex.join(overlay(self.below, self.upper, self.scratch / "work", root))]
        lines += [f"mount -t proc proc {place}/proc", f"mount --rbind /dev {place}/dev"]
        if self.python and Path("/usr") != _PYTHON_PREFIX:
            lines.append(_bind(place, Bind(source=_PYTHON_PREFIX, target="/usr/local")))
        lines += [f"mkdir -p {place}{shlex.quote(folder)}" for folder in self.tmpfs]
        lines += [f"mount -t tmpfs tmpfs {place}{shlex.quote(folder)}" for folder in self.tmpfs]
        lines += [_bind(place, bind) for bind in self.binds]
        if self.read_only:
            lines.append(f"mount -o remount,ro,bind {place} {place}")
        return lines

    def _run(self, words: Sequence[str]) -> str:
        rights = []
        if self.uid:
            rights = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
            rights += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', self.workdir, *words]
        root = str(self.scratch / "root")
        return "exec " + shlex.join(["chroot", root, "env", "-i", *variables, *rights, *inside])


def bare_layer(layer: Path) -> None:
    """Make a folder that, laid over this machine's root, leaves only its programs to be seen."""
    layer.mkdir(parents=True)
    for path in MACHINE.iterdir():
        if path.is_dir() and not path.is_symlink() and path.name not in _SYSTEM:
            (layer / path.name).mkdir()
            os.setxattr(layer / path.name, "trusted.overlay.opaque", b"y")
    (layer / "tmp").chmod(0o1777)


def overlay(below: Path, upper: Path, work: Path, root: Path) -> list[str]:
    """The command that mounts `upper` over `below` at `root`; missing folders are made."""
    for folder in (upper, work, root):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={below},upperdir={upper},workdir={work}"
    return ["mount", "-t", "overlay", "overlay", "-o", options, str(root)]


def _bind(place: str, bind: Bind) -> str:
    source, target = shlex.quote(str(bind.source)), place + shlex.quote(bind.target)
    make = f"mkdir -p {target}" if bind.source.is_dir() else f"install -D /dev/null {target}"
    lines = f"{make} && mount --bind {source} {target}"
    return lines + (f" && mount -o remount,ro,bind {target} {target}" if bind.read_only else "")
