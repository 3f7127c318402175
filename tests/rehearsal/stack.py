"""The composition, started in its order, each service as the file says."""

import os
import stat
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from pwd import getpwnam
from types import TracebackType
from typing import Self

from tests.rehearsal.composition import Composition, ServiceSpec, seconds
from tests.rehearsal.container import Container
from tests.rehearsal.image import Image
from tests.rehearsal.network import Network
from tests.rehearsal.sandbox import MACHINE, Bind, Sandbox, overlay


class Stack:
    """All containers; a context that ends them all."""

    def __init__(
        self,
        composition: Composition,
        images: Mapping[str, Image],
        *,
        project: Path,
        work: Path,
        variables: Mapping[str, str],
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            composition: what to bring up.
            images: by service; services without one are left out.
            project: what relative paths are relative to.
            work: an empty folder for volumes, scratch and logs.
            variables: of `.env`, for secrets.
        """
        self._composition = composition
        self._images = images
        self._project = project
        self._work = work
        self._variables = variables
        self._exit = ExitStack()
        self._count = 0
        self._roots: dict[Path, Path] = {}
        (work / "network").mkdir()
        self._network = Network(work / "network")
        self.containers: dict[str, list[Container]] = {}

    def __enter__(self) -> Self:
        self._exit.enter_context(self._network.name_server())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for containers in self.containers.values():
            for container in containers:
                container.stop(grace_seconds=0)
        self._exit.close()

    def volume(self, name: str) -> Path:
        """Where a named volume is kept."""
        return self._work / "volumes" / name

    def up(self, service: str) -> None:
        """Start every container of a service, when what it depends on is as it asks for."""
        spec = self._composition.services[service]
        for name, dependency in spec.depends_on.items():
            if dependency.condition == "service_healthy":
                for container in self.containers[name]:
                    container.wait_until_healthy()
        self.containers[service] = [self._start(service) for _ in range(spec.deploy.replicas)]

    def wait_until_healthy(self) -> None:
        """Return when every container is; ChildDied if one ends or takes too long."""
        for containers in self.containers.values():
            for container in containers:
                container.wait_until_healthy()

    def restart(self, service: str, place: int) -> None:
        """Start a container that has ended anew, as `restart: unless-stopped` does."""
        self.containers[service][place] = self._start(service)
        self.containers[service][place].wait_until_healthy()

    def _start(self, service: str) -> Container:
        spec, image = self._composition.services[service], self._images[service]
        self._count += 1
        scratch = self._work / "containers" / f"{service}-{self._count}"
        scratch.mkdir(parents=True)
        uid = _uid(spec.user or image.user)
        sandbox = Sandbox(
            below=self._root(image),
            upper=scratch / "upper",
            scratch=scratch,
            environment=image.environment | {"HOME": "/tmp"} | spec.environment,
            uid=uid,
            workdir=image.workdir,
            binds=(*self._system_binds(), *self._binds(spec, image, uid), *self._secrets(spec)),
            tmpfs=tuple(spec.tmpfs),
            read_only=spec.read_only,
            python=image.python,
        )
        entrypoint = image.entrypoint if spec.entrypoint is None else spec.entrypoint
        command = image.command if spec.command is None else spec.command
        words = [*entrypoint, *command]
        return Container.start(service, words, sandbox, self._network, spec.healthcheck)

    def _root(self, image: Image) -> Path:
        """Where the image's root is mounted; its containers write elsewhere."""
        if image.layer not in self._roots:
            place = self._work / "roots" / str(len(self._roots))
            command = overlay(MACHINE, image.layer, place / "work", place / "root")
            subprocess.run(command, check=True)
            self._roots[image.layer] = place / "root"
        return self._roots[image.layer]

    def grace_seconds(self, service: str) -> float:
        """How long a container of it may take to stop."""
        return seconds(self._composition.services[service].stop_grace_period)

    def _system_binds(self) -> tuple[Bind, ...]:
        return (
            Bind(source=self._network.resolv_conf, target="/etc/resolv.conf", read_only=True),
            Bind(source=self._network.hosts, target="/etc/hosts", read_only=True),
        )

    def _binds(self, spec: ServiceSpec, image: Image, uid: int) -> list[Bind]:
        found = []
        for line in spec.volumes:
            source, target, *options = line.split(":")
            if source.startswith("."):
                path = self._project / source
                if not path.exists():
                    raise ValueError(f"volume {line}: there is no {path}")
            else:
                path = self.volume(source)
                if not path.exists():
                    path.mkdir(parents=True)
                    _own(path, image, target, uid)
            found.append(Bind(source=path, target=target, read_only=options == ["ro"]))
        return found

    def _secrets(self, spec: ServiceSpec) -> list[Bind]:
        found = []
        for name in spec.secrets:
            variable = self._composition.secrets[name]["environment"]
            path = self._work / "secrets" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(self._variables[variable])
            path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
            found.append(Bind(source=path, target=f"/run/secrets/{name}", read_only=True))
        return found


def _uid(user: str) -> int:
    """The number of a user; one that only an image knows is played by `nobody`."""
    if user.isdigit():
        return int(user)
    try:
        return getpwnam(user).pw_uid
    except KeyError:
        return getpwnam("nobody").pw_uid


def _own(volume: Path, image: Image, target: str, uid: int) -> None:
    """Give a new volume the owner of its folder in the image; without one there, the user."""
    folder = image.layer / target.lstrip("/")
    if folder.is_dir():
        owner = folder.stat()
        os.chown(volume, owner.st_uid, owner.st_gid)
    else:
        os.chown(volume, uid, uid)
