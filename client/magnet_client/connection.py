"""How both clients connect, and when they send a call again.

Every call may be repeated: all but feedback only ask, and an event counts once by its id.
"""

import random
from dataclasses import dataclass
from typing import TypedDict

import httpx2

from magnet_client.errors import MagnetError, ServiceAway


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often, and how long to wait in between."""

    attempts: int = 4
    """Of one call, the first included; 1 for none but that."""
    base_seconds: float = 0.1
    """Longest wait after the first failure; it doubles with each further one."""
    most_seconds: float = 10.0
    """Longest wait; the call fails if the service asks for a longer one."""

    def wait_seconds(self, failures: int, error: MagnetError) -> float:
        """How long to wait after so many failures, the last of which is `error`.

        What the service asks for, and a random part, so that clients that failed together do not
        come back together.

        Raises:
            MagnetError: `error` itself, if the call is not to be sent again.
        """
        asked = error.retry_after_seconds or 0.0
        if not error.may_pass or failures >= self.attempts or asked > self.most_seconds:
            raise error
        longest = min(self.base_seconds * 2 ** (failures - 1), self.most_seconds - asked)
        return asked + random.uniform(0.0, longest)


CONNECT_SECONDS = 2.0
"""Milliseconds are enough within a network; the system sends a lost packet again after a second."""


class ConnectionSettings(TypedDict):
    """Arguments of httpx2's clients."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx2.Timeout
    trust_env: bool


def settings(
    base_url: str, api_key: str | None, timeout_seconds: float, *, trust_env: bool
) -> ConnectionSettings:
    """What to make httpx2's client with; ValueError if `base_url` is no address."""
    if not base_url.startswith(("http://", "https://")):
        raise ValueError(f"{base_url!r} must start with http:// or https://")
    headers = {"User-Agent": "magnet-client/0.1"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    return ConnectionSettings(
        base_url=base_url,
        headers=headers,
        timeout=httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds)),
        trust_env=trust_env,
    )


def away(base_url: httpx2.URL, error: httpx2.TransportError) -> ServiceAway:
    """The error for a connection that failed."""
    if isinstance(error, httpx2.TimeoutException):
        return ServiceAway(f"{base_url} did not answer in time ({type(error).__name__})")
    return ServiceAway(f"{base_url} cannot be reached ({error}): is the service running there?")
