"""What both clients are made with: address, key, timeouts.

Knows httpx2's settings; sends nothing.
"""

from typing import TypedDict

import httpx2

from magnet_client.errors import ServiceAway

CONNECT_SECONDS = 2.0
"""Within a network milliseconds do; the system sends a lost packet again after one second."""


class ConnectionSettings(TypedDict):
    """Arguments of httpx2's clients."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx2.Timeout
    trust_env: bool


def settings(
    base_url: str, api_key: str | None, timeout_seconds: float, *, trust_env: bool
) -> ConnectionSettings:
    """What to make httpx2's client with; ValueError for an address that is none."""
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
    """What to tell of a connection that failed."""
    if isinstance(error, httpx2.TimeoutException):
        return ServiceAway(f"{base_url} did not answer in time ({type(error).__name__})")
    return ServiceAway(f"{base_url} cannot be reached ({error}): is the service running there?")
