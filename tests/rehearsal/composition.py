"""docker-compose.yml as typed services, with the variables of `.env` filled in.

Reads the part of the specification that ours uses and refuses the rest, so that nothing in the file
is overlooked.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\})")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Build(_Part):
    """An image that the Dockerfile makes."""

    context: Literal["."]
    target: str
    args: dict[str, str] = {}


class Dependency(_Part):
    """What has to be before a service starts."""

    condition: Literal["service_started", "service_healthy"]


class Healthcheck(_Part):
    """How to ask a container whether it does its work; durations as the file writes them."""

    test: list[str]
    interval: str
    timeout: str
    start_period: str = "0s"
    start_interval: str = "5s"
    retries: int = 3

    def command(self) -> list[str]:
        """The command to run within the container."""
        kind, *words = self.test
        return words if kind == "CMD" else ["/bin/sh", "-c", *words]


class _Limits(_Part):
    cpus: str
    memory: str


class _Resources(_Part):
    limits: _Limits


class Deploy(_Part):
    """How many containers there are, and what each may use."""

    replicas: int = 1
    resources: _Resources


class ServiceSpec(_Part):
    """One service."""

    image: str | None = None
    build: Build | None = None
    user: str | None = None
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    environment: dict[str, str] = {}
    depends_on: dict[str, Dependency] = {}
    volumes: list[str] = []
    tmpfs: list[str] = []
    secrets: list[str] = []
    networks: list[str] = ["default"]
    ports: list[str] = []
    healthcheck: Healthcheck | None = None
    read_only: bool = False
    cap_drop: list[str] = []
    security_opt: list[str] = []
    restart: Literal["no", "unless-stopped"] = "no"
    logging: dict[str, Any] = {}
    stop_grace_period: str = "10s"
    stop_signal: str = "SIGTERM"
    deploy: Deploy


class Composition(_Part):
    """The whole file."""

    name: str
    services: dict[str, ServiceSpec]
    networks: dict[str, Any] = {}
    secrets: dict[str, dict[str, str]] = {}
    volumes: dict[str, None] = Field(default={})

    def order(self) -> list[str]:
        """Services, each after those that it depends on; ValueError where they go in a circle."""
        done: list[str] = []
        waiting = dict(self.services)
        while waiting:
            ready = [name for name, one in waiting.items() if one.depends_on.keys() <= set(done)]
            if not ready:
                raise ValueError(f"these services depend on each other: {', '.join(waiting)}")
            done += ready
            for name in ready:
                del waiting[name]
        return done


def read_composition(path: Path, variables: Mapping[str, str]) -> Composition:
    """The file with its variables filled in.

    Raises:
        ValueError: it uses what is not known here, or asks for a variable that is not set.
    """
    document = yaml.safe_load(path.read_text())
    parts = {name: part for name, part in document.items() if not name.startswith("x-")}
    return Composition.model_validate(_filled(parts, variables))


def _filled(value: Any, variables: Mapping[str, str]) -> Any:  # a YAML document
    if isinstance(value, dict):
        return {name: _filled(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        found = variables.get(match["name"], "")
        if found == "" and match["how"] == "?":
            raise ValueError(f"{match['name']} {match['rest']}")
        return found or (match["rest"] if match["how"] == "-" else "")

    return _VARIABLE.sub(replacement, value)


def seconds(duration: str) -> float:
    """The seconds of a duration such as `10s` or `1m30s`."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))
