"""The services of the month: one that follows the retrainings, one that keeps its first model.

Knows processes and HTTP; knows nothing about days or quality.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.curls import get_json, post_json
from deploy.embedded import free_port
from deploy.processes import Child, ChildDied
from deploy.server import HOST, serve, wait_until_ready
from model.contract.feedback import ReportedEvent
from service.requests import MAX_EVENTS, MAX_SESSION

_SWITCH_SECONDS = 120.0
_SETTINGS = {"MAGNET_LOG_LEVEL": "WARNING", "MAGNET_RECENT_ITEMS": "10000"}
"""No user of a month has more: `exclude_seen` knows all that either service was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service process, over HTTP."""

    child: Child
    url: str

    def top(self, k: int, user_id: str, session_items: Sequence[str] = ()) -> list[str]:
        """Her k best items that she has not seen; a session that is too long loses its oldest."""
        body = {
            "user_id": user_id,
            "session_items": list(session_items[-MAX_SESSION:]),
            "k": k,
            "exclude_seen": True,
            "explain": "none",
        }
        items = post_json(f"{self.url}/v1/recommendations", body)["items"]
        return [item["item_id"] for item in items]

    def tell(self, events: Sequence[ReportedEvent]) -> None:
        """Report feedback."""
        for start in range(0, len(events), MAX_EVENTS):
            some = [event.model_dump(mode="json") for event in events[start : start + MAX_EVENTS]]
            post_json(f"{self.url}/v1/feedback", {"events": some})

    def wait_for(self, version: str) -> None:
        """Return once it serves a version; ChildDied if that takes minutes."""
        deadline = time.monotonic() + _SWITCH_SECONDS
        while get_json(f"{self.url}/v1/model")["model_version"] != version:
            self.child.check()
            if time.monotonic() > deadline:
                raise ChildDied(f"{self.child.name} did not switch to {version}")
            time.sleep(0.1)


@contextmanager
def services(folder: Path, redis_url: str, namespaces: Sequence[str]) -> Iterator[list[Service]]:
    """One for each namespace, ready to be asked; stopped at the end."""
    with ExitStack() as stack:
        started = []
        for namespace in namespaces:
            port = free_port()
            settings = _SETTINGS | {"MAGNET_NAMESPACE": namespace}
            child = serve(port, redis_url, folder / f"{namespace}.log", settings)
            stack.enter_context(child)
            started.append(Service(child=child, url=f"http://{HOST}:{port}"))
        for service in started:
            wait_until_ready(service.url, [service.child])
        yield started
