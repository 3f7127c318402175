"""The first half: copy the build context and make the images from it."""

import shutil
import subprocess
import sys
from pathlib import Path

from pydantic import TypeAdapter

from deploy.local.sample import INTERACTIONS
from tests.rehearsal.composition import Composition, read_composition
from tests.rehearsal.dockerfile import read_stages
from tests.rehearsal.image import Builder, Image, stand_in

LEFT_OUT = frozenset({"alertmanager", "grafana"})
"""Done without; what they are given is tested by tests/deploy/observability."""
_PROJECT = Path(__file__).parents[2]
_FILES = ("Dockerfile", "docker-compose.yml", "pyproject.toml", "constraints.txt")
_PACKAGES = ("model", "service", "training", "deploy")
STAND_INS: dict[str, tuple[dict[str, str], list[str]]] = {
    "valkey/valkey": ({"valkey-cli": "redis-cli"}, []),
    "haproxy": ({}, []),
    "prom/prometheus": ({}, ["prometheus"]),
}
"""By image: names of programs that others answer to here, and the image's entrypoint."""
_IMAGES = TypeAdapter(dict[str, Image])


def prepare(work: Path, data: Path) -> None:
    """Fill the empty folder `work`.

    Raises:
        BuildError: an image cannot be made.
        ValueError: the data, the Dockerfile or the composition cannot be used.
    """
    if not (data / INTERACTIONS).is_file():
        raise ValueError(f"{data}: the trainer looks for {INTERACTIONS}, which is not there")
    project = work / "project"
    project.mkdir()
    for name in _FILES:
        shutil.copy(_PROJECT / name, project)
    for name in _PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_PROJECT / name, project / name, ignore=ignored)
    subprocess.run(["sh", "deploy/secrets.sh"], cwd=project, check=True)
    images = _images(composition_of(work), project, work / "images")
    (work / "images.json").write_bytes(_IMAGES.dump_json(images))
    sample = work / "stack" / "volumes" / "trainer-data" / "ml-100k"
    shutil.copytree(data, sample)
    for path in (sample.parent, sample, *sample.rglob("*")):
        shutil.chown(path, 10001, 10001)


def variables_of(work: Path) -> dict[str, str]:
    """What deploy/secrets.sh has written to `.env`."""
    lines = (work / "project" / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def composition_of(work: Path) -> Composition:
    """The composition, secrets filled in."""
    return read_composition(work / "project" / "docker-compose.yml", variables_of(work))


def images_of(work: Path) -> dict[str, Image]:
    """What `prepare` has made, by service."""
    return _IMAGES.validate_json((work / "images.json").read_bytes())


def _images(composition: Composition, project: Path, work: Path) -> dict[str, Image]:
    builder = Builder(read_stages(project / "Dockerfile"), project, work)
    images: dict[str, Image] = {}
    for service, spec in composition.services.items():
        if spec.build is not None:
            sys.stderr.write(f"making the image of {service} ...\n")
            images[service] = builder.image(spec.build.target)
        elif service not in LEFT_OUT:
            name = (spec.image or "").rpartition(":")[0]
            if name not in STAND_INS:
                raise ValueError(f"{service}: nothing stands in for {name!r}; add it to {__name__}")
            programs, entrypoint = STAND_INS[name]
            images[service] = stand_in(programs, entrypoint, work / service)
    return images
