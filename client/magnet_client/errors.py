"""What can go wrong with a call.

MagnetError
|-- UnusableKey            what was given as a key cannot be one
|-- ServiceAway            nobody answered, or not in time
|-- InvalidAnswer          what answered is not this service, or a version that is too new
`-- ProblemError           the service refused; carries its problem document (RFC 9457)
    |-- InvalidRequest     400, 413, 422: `errors` names the fields
    |-- Unauthenticated    401: a key is needed, or is not known
    |-- Forbidden          403: the key does not open this
    |-- NotFound           404: no such user, item or version
    |-- TooManyRequests    429
    `-- Unavailable        503: no model yet, overloaded, or the store is away
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class FieldFault(BaseModel):
    """One part of a request that cannot be used."""

    field: str
    message: str


class MagnetError(Exception):
    """Anything that a call may raise."""

    may_pass: ClassVar[bool] = False
    """Whether the same call may be answered a little later."""
    retry_after_seconds: float | None = None
    """How long the service asks to wait."""


class UnusableKey(MagnetError, ValueError):
    """What was given as an API key cannot be one; the message does not repeat it."""


class ServiceAway(MagnetError):
    """Nobody answered, or not in time."""

    may_pass = True


class InvalidAnswer(MagnetError):
    """An answer that this client does not understand."""


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = "about:blank"
    """Names the kind of problem, such as `urn:magnet:problem:unknown-item`."""
    title: str
    status: int
    detail: str = ""
    request_id: str | None = None
    """Finds the request in the service's log."""
    errors: tuple[FieldFault, ...] = ()


class ProblemError(MagnetError):
    """The service refused, and `problem` says why."""

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(": ".join(filter(None, (problem.title, problem.detail))))
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds


class InvalidRequest(ProblemError):
    """The request asks for something that is not offered."""


class Unauthenticated(ProblemError):
    """A key is needed, or the one that was shown is not known."""


class Forbidden(ProblemError):
    """The key does not open this."""


class NotFound(ProblemError):
    """There is no such user, item or version in the live model."""


class TooManyRequests(ProblemError):
    """The key asks more often than it may."""

    may_pass = True


class Unavailable(ProblemError):
    """No model is served yet, too many requests wait, or the store is away."""

    may_pass = True


PROBLEMS: dict[int, type[ProblemError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    413: InvalidRequest,
    422: InvalidRequest,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""Errors by status; a proxy says 502 and 504 of a service that is away. Others: ProblemError."""
