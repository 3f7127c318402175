"""Which key opens which route: the dependency that routes are declared with.

Knows HTTP's way of showing a key; `gate` decides.
"""

from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api_keys import Scope
from service.dependencies import ServicesDep
from service.problems import Problem

_bearer = HTTPBearer(
    auto_error=False,
    description="An API key, made by `python -m service.keys new`. A service that listens only at "
    "its own machine may be set up without keys.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]

GUARDED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No key, or one that is not known"},
    403: {"model": Problem, "description": "The key does not open this"},
    429: {"model": Problem, "description": "The key has asked too often; see `Retry-After`"},
}


def needs(scope: Scope) -> Any:
    """A dependency that lets a request pass if its key has a scope."""

    async def admit(request: Request, services: ServicesDep, shown: Credentials) -> None:
        host, _ = request.scope.get("server") or ("", None)
        secret = None if shown is None else shown.credentials
        services.gate.admit(scope, secret=secret, host=host)

    return Security(admit)
