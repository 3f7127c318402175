"""The commands that look after a service: `status` and `doctor`."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import click
from pydantic import BaseModel, ValidationError

from model.artifact.files import ArtifactError
from model.artifact.stored import PER_USER, read_manifest
from model.registry.address import RedisAddress
from model.registry.keys import KeySpace
from model.registry.records import RetrainingSummary
from model.registry.state import State
from service.auth.keys import rights_to_take
from training.cli.options import usable_namespace, with_options
from training.errors import ExplainedError
from training.publish.blobs import verify_blobs
from training.publish.connection import Client, connected, policy_warning
from training.publish.erasures import ErasureRecords
from training.publish.registry import Registry

_URL = "http://127.0.0.1:8000"
_SECONDS = 5.0
"""Longest wait for an answer of the service."""
_LEAST_FREE_BYTES = 2 * 10**9
"""Ours: a retraining writes its data and a model, and keeps the weights of both."""
_RETRAINING_DUE = timedelta(days=1.5)
"""The threshold of the alert MagnetRetrainMissing: a day, and half a day of delay."""
_FOLDER = click.Path(path_type=Path)


class Version(BaseModel):
    """One published version that has a role."""

    version: str
    published_at: datetime | None


class Status(BaseModel):
    """What is reachable and what is served; what is not known is None."""

    service: str
    """What /readyz of the service says."""
    service_ready: bool
    service_answers: bool
    """Whether anybody answers at the URL."""
    served: str | None
    """The version that the service answers with."""
    redis: str | None = None
    """What is wrong with Redis, or that it answers; None if it was not asked."""
    redis_answers: bool | None = None
    versions_known: bool = False
    """Whether Redis or the service has told of `live`, `previous` and `pinned`."""
    live: Version | None = None
    previous: Version | None = None
    pinned: str | None = None
    canary: str | None = None
    retraining: RetrainingSummary | None = None

    @property
    def is_well(self) -> bool:
        """Whether everything that was asked answers."""
        return self.service_ready and self.redis_answers is not False


def _service_url(_: click.Context, __: click.Parameter, url: str) -> str:
    """A URL that can be asked and shown."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise click.BadParameter("expected http://HOST:PORT or https://HOST:PORT")
    if "@" in parts.netloc:
        raise click.BadParameter(
            "leave user and password out; a key goes into the variable MAGNET_API_KEY"
        )
    return url


asked_options = with_options(
    click.option(
        "--url",
        envvar="MAGNET_URL",
        default=_URL,
        show_default=True,
        callback=_service_url,
        help="the service's, also in the variable MAGNET_URL",
    ),
    click.option(
        "--redis-url",
        envvar="REDIS_URL",
        help="of the Redis that models are published to  [default: the variable REDIS_URL, or "
        "what the service says]",
    ),
    click.option(
        "--namespace",
        envvar="MAGNET_NAMESPACE",
        default="default",
        show_default=True,
        callback=usable_namespace,
    ),
)
"""Which service and which Redis are asked."""


@click.command
@asked_options
@click.option("--json", "as_json", is_flag=True, help="the same as JSON")
def status(url: str, redis_url: str | None, namespace: str, as_json: bool) -> int:
    """Show what is reachable, and which version is live, previous, pinned or a canary.

    The exit status is 1 if the service or Redis does not answer.
    """
    found = survey(url, redis_url, namespace)
    if as_json:
        click.echo(found.model_dump_json(indent=1))
    else:
        for name, text in _lines(found):
            click.echo(f"{name:12s}{text}")
    return 0 if found.is_well else 1


def survey(url: str, redis_url: str | None, namespace: str) -> Status:
    """Ask the service, and Redis if it is given; nothing is raised for what does not answer."""
    code, answer = _ask(url, "/readyz")
    said = "; ".join(answer.get("warnings", [])) or answer.get("detail", "")
    ready = code == 200
    service = f"{url}: {'ready' if ready else 'not ready'}{f' ({said})' if said else ''}"
    found: dict[str, Any] = {
        "service": service,
        "service_ready": ready,
        "service_answers": code is not None,
        "served": answer.get("model_version"),
    }
    if redis_url is None:
        return Status(**found, **_versions_by_service(url))
    try:
        with connected(redis_url) as client:
            found |= _versions_in_redis(client, KeySpace(namespace))
            found |= {"redis": f"answers, namespace {namespace}", "redis_answers": True}
    except (ExplainedError, ValueError) as error:
        found |= {"redis": str(error), "redis_answers": False}
    return Status(**found)


def _ask(url: str, path: str) -> tuple[int | None, dict[str, Any]]:
    """Status and body of an answer; None and a `detail` if there is none."""
    key = os.environ.get("MAGNET_API_KEY", "").strip()
    if key and not (key.isascii() and key.isprintable()):
        return None, {"detail": "MAGNET_API_KEY is not a key: it has a line break or the like"}
    proxies: dict[str, str] | None = (
        {} if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1") else None
    )
    try:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        request = Request(url.rstrip("/") + path, headers=headers)
        with build_opener(ProxyHandler(proxies)).open(request, timeout=_SECONDS) as response:
            return response.status, dict(json.load(response))
    except HTTPError as error:
        try:
            return error.code, dict(json.load(error))
        except (TypeError, ValueError):
            return error.code, {"detail": error.reason}
    except HTTPException:
        return None, {"detail": "no answer: another program is there"}
    except (URLError, OSError, TypeError, ValueError) as error:
        return None, {"detail": f"no answer: {getattr(error, 'reason', error)}"}


def _versions_by_service(url: str) -> dict[str, Any]:
    """What the service tells of the versions; nothing if it may not or cannot."""
    code, answer = _ask(url, "/v1/models")
    if code != 200:
        return {}
    published = {each["model_version"]: each["published_at"] for each in answer["models"]}
    return {"versions_known": True, "pinned": answer["pinned"]} | {
        role: Version(version=answer[role], published_at=published.get(answer[role]))
        for role in ("live", "previous")
        if answer[role] is not None
    }


def _versions_in_redis(client: Client, keys: KeySpace) -> dict[str, Any]:
    state = Registry(client, keys).state()
    running = state.running
    return {
        "versions_known": True,
        "live": _version(state, state.live),
        "previous": _version(state, state.previous),
        "pinned": state.pinned,
        "canary": running and f"{running.version}, {running.share:.1%} of the users",
        "retraining": _latest_retraining(client, keys),
    }


def _version(state: State, version: str | None) -> Version | None:
    if version is None:
        return None
    at = state.published_at.get(version)
    published_at = None if at is None else datetime.fromtimestamp(at, UTC)
    return Version(version=version, published_at=published_at)


def _latest_retraining(client: Client, keys: KeySpace) -> RetrainingSummary | None:
    stored = client.get(keys.runs)
    try:
        return None if stored is None else RetrainingSummary.model_validate_json(stored)
    except ValidationError:
        return None


def _lines(found: Status) -> Iterator[tuple[str, str]]:
    yield "service", found.service + (f", serves {found.served}" if found.served else "")
    if found.redis is not None:
        yield "Redis", found.redis
    if not found.versions_known:
        yield "versions", "not known: name Redis, or put a key that may read into MAGNET_API_KEY"
        return
    for role, version in (("live", found.live), ("previous", found.previous)):
        if version is None:
            yield role, "none"
        elif version.published_at is None:
            yield role, version.version
        else:
            yield role, f"{version.version}, published {_ago(version.published_at)}"
    yield "pinned", found.pinned or "none"
    if found.redis is not None:
        yield "canary", found.canary or "none"
        yield "retraining", "none yet" if found.retraining is None else _run_text(found.retraining)


def _run_text(run: RetrainingSummary) -> str:
    reason = f": {run.reason}" if run.reason else ""
    return f"{run.result or 'running'}, begun {_ago(run.started_at)}{reason}"


def _ago(at: datetime) -> str:
    minutes = (datetime.now(UTC) - at).total_seconds() / 60
    for unit, length in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * length:
            return f"{minutes / length:.0f} {unit} ago"
    return f"{minutes:.0f} min ago"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    name: str
    is_well: bool | None
    """None if it was not checked."""
    text: str
    """What was found; then what to do, if something is wrong."""


@click.command
@asked_options
@click.option("--keys-file", type=_FOLDER, envvar="MAGNET_KEYS_FILE", help="the service's API keys")
@click.option("--state", type=_FOLDER, help="the state folder of retraining")
def doctor(
    url: str, redis_url: str | None, namespace: str, keys_file: Path | None, state: Path | None
) -> int:
    """Check one by one whether everything is reachable and whole, and say what to do if not.

    The exit status is 0 if all is well, 1 if something is wrong. What is not named here is not
    checked.
    """
    found = survey(url, redis_url, namespace)
    findings = [
        *_service_and_redis(found),
        _policy(found, redis_url),
        _live_version(found, redis_url, namespace),
        _keys_file(keys_file),
        *_private_key(redis_url),
        _disk_space(state),
        _retraining(found),
    ]
    words = {True: "ok", False: "WRONG", None: "-"}
    for each in findings:
        click.echo(f"{words[each.is_well]:7s}{each.name:14s}{each.text}")
    return 1 if any(each.is_well is False for each in findings) else 0


def _service_and_redis(found: Status) -> Iterator[Finding]:
    remedy = (
        "" if found.service_answers else "; start it with `magnet serve`, or name another: --url"
    )
    yield Finding("service", found.service_ready, found.service + remedy)
    if found.redis is None:
        yield Finding("Redis", None, "not asked; name it: --redis-url, or the variable REDIS_URL")
    else:
        yield Finding("Redis", found.redis_answers, found.redis)


def _policy(found: Status, redis_url: str | None) -> Finding:
    name = "eviction"
    if redis_url is None or not found.redis_answers:
        return Finding(name, None, "not checked without Redis")
    with connected(redis_url) as client:
        warning = policy_warning(client)
    return Finding(name, warning is None, warning or "nothing that is stored is thrown away")


def _live_version(found: Status, redis_url: str | None, namespace: str) -> Finding:
    """Reads the whole live version back, and compares it with what the service serves."""
    name = "live version"
    if redis_url is None or not found.redis_answers:
        return Finding(name, None, "not checked without Redis")
    if found.live is None:
        return Finding(name, False, "nothing is live; publish a model: `magnet publish ARTIFACT`")
    version, keys = found.live.version, KeySpace(namespace)
    try:
        with connected(redis_url) as client:
            manifest = read_manifest(client.get(keys.manifest(version)), version)
            waiting = any(each.waiting for each in ErasureRecords(client, keys).all())
            # The rows of users who are to be forgotten have been overwritten already.
            blobs = {*manifest.tensors, *manifest.files} - set(PER_USER if waiting else ())
            num_bytes = sum(verify_blobs(client, keys, manifest, blobs))
    except (ExplainedError, ArtifactError) as error:
        return Finding(name, False, f"{error}; or go back: `magnet rollback`")
    if found.served not in (None, version):
        return Finding(
            name,
            False,
            f"{version} is live, but the service serves {found.served}: its log says why, and "
            "whether it follows this namespace",
        )
    return Finding(name, True, f"{version} is whole, {num_bytes / 1e6:.1f} MB")


def _keys_file(path: Path | None) -> Finding:
    name = "keys file"
    if path is None:
        return Finding(name, None, "none named: --keys-file, or the variable MAGNET_KEYS_FILE")
    remedy = "make one with `magnet keys new`, or give the service's user the right to read it"
    return _secret(name, path, remedy)


def _private_key(redis_url: str | None) -> Iterator[Finding]:
    """The file that Redis knows this side by, if there is one."""
    try:
        keywords = {} if redis_url is None else RedisAddress.of(redis_url).keywords
    except ValueError:
        return  # it has been said
    path = keywords.get("ssl_keyfile")
    if path is not None:
        remedy = "give this user the right to read it, or name another: ?ssl_keyfile="
        yield _secret("private key", Path(path), remedy)


def _secret(name: str, path: Path, remedy: str) -> Finding:
    """A file that nobody else may write, and not everybody read."""
    try:
        troubles = rights_to_take(path)
        path.read_bytes()
    except OSError as error:
        return Finding(name, False, f"{path} cannot be read ({error.strerror}); {remedy}")
    if troubles:
        return Finding(name, False, "; ".join(troubles))
    return Finding(name, True, f"{path}, writable by its owner alone")


def _disk_space(state: Path | None) -> Finding:
    name = "disk space"
    if state is None:
        return Finding(name, None, "no state folder of retraining named: --state")
    try:
        free = shutil.disk_usage(state).free
    except OSError as error:
        return Finding(name, False, f"{state} cannot be read ({error.strerror}); correct --state")
    text = f"{free / 1e9:.1f} GB free for {state}"
    if free < _LEAST_FREE_BYTES:
        remedy = f"below {_LEAST_FREE_BYTES / 1e9:g} GB; docs/operations.md says what may go"
        return Finding(name, False, f"{text}, {remedy}")
    return Finding(name, True, text)


def _retraining(found: Status) -> Finding:
    name, run = "retraining", found.retraining
    if not found.redis_answers:
        return Finding(name, None, "not checked without Redis")
    if run is None:
        return Finding(name, None, "there has been none; `magnet retrain --config FILE` runs one")
    if run.result in ("failed", "killed"):
        return Finding(name, False, f"{_run_text(run)}; docs/operations.md says what to do")
    if datetime.now(UTC) - run.started_at > _RETRAINING_DUE:
        return Finding(name, False, f"{_run_text(run)}; see whether its schedule still runs")
    return Finding(name, True, _run_text(run))
