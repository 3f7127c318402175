"""What can go wrong, and the status and the title that each is answered with.

`service.http.problems` makes them HTTP answers. A `SourceUnavailable` is answered as
`StoreUnavailable` or `OutcomeUnknown` unless somebody catches it: reading falls back, writing does
not.
"""

from http import HTTPStatus
from typing import ClassVar

from pydantic import BaseModel, Field

RETRY_AFTER_SECONDS = 2
"""What a client is told to wait: one default poll interval."""


class FieldFault(BaseModel):
    """One part of a request that cannot be used."""

    field: str = Field(examples=["k"])
    message: str = Field(examples=["1000000 is too many, the most is 1000"])


class MagnetError(Exception):
    """Anything that this service raises on purpose."""


class SourceUnavailable(MagnetError):
    """The store of models did not answer; the message names it without secrets."""


class RequestRefused(MagnetError):
    """A request that gets a problem document instead of an answer."""

    status: ClassVar[HTTPStatus]
    kind: ClassVar[str]
    title: ClassVar[str]
    retry_after_seconds: float = RETRY_AFTER_SECONDS
    """For answers that say when to try again."""

    def __init__(self, detail: str, errors: tuple[FieldFault, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors


class InvalidRequest(RequestRefused):
    """Well-formed, but asks for something that is not offered."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    kind = "invalid-request"
    title = "The request is not valid"

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidRequest":
        """A refusal because of one field."""
        return cls(f"{field}: {message}", (FieldFault(field=field, message=message),))


class RepeatedHeader(RequestRefused):
    """A header that can have one value has several: nobody knows which is meant."""

    status = HTTPStatus.BAD_REQUEST
    kind = "repeated-header"
    title = "A header is there more than once"


class UnknownUser(RequestRefused):
    """No such user in the live model, or none with a usable history."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-user"
    title = "The user is not known to the model"


class UnknownItem(RequestRefused):
    """No such item in the live model."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-item"
    title = "The item is not known to the model"


class UnknownVersion(RequestRefused):
    """No such version has been published, or it has been retired."""

    status = HTTPStatus.NOT_FOUND
    kind = "unknown-version"
    title = "The model version is not there"


class NoReport(RequestRefused):
    """The version is there, but was made without a report."""

    status = HTTPStatus.NOT_FOUND
    kind = "no-report"
    title = "The model version has no report"


class NoExperiment(RequestRefused):
    """There has been no canary, so nothing was compared."""

    status = HTTPStatus.NOT_FOUND
    kind = "no-experiment"
    title = "There has been no experiment"


class CanaryConflict(RequestRefused):
    """There can be no such canary while the versions stand as they do."""

    status = HTTPStatus.CONFLICT
    kind = "canary-conflict"
    title = "There can be no such canary now"


class NotOffered(RequestRefused):
    """This service has no store that replicas and training share."""

    status = HTTPStatus.NOT_IMPLEMENTED
    kind = "not-offered"
    title = "This service has nowhere to keep that"


class NotReady(RequestRefused):
    """No model is being served yet."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "not-ready"
    title = "No model is being served yet"


class Overloaded(RequestRefused):
    """More requests are waiting than can be answered soon."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "overloaded"
    title = "Too many requests are waiting"


class UserUnavailable(RequestRefused):
    """The user exists, but their row cannot be read now and nothing honest stands in for it."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "user-unavailable"
    title = "The user cannot be read at the moment"


class Unauthenticated(RequestRefused):
    """The caller has not shown a known key."""

    status = HTTPStatus.UNAUTHORIZED
    kind = "unauthenticated"
    title = "An API key is needed"


class Forbidden(RequestRefused):
    """The caller's key does not open this."""

    status = HTTPStatus.FORBIDDEN
    kind = "forbidden"
    title = "That is not open to this caller"


class TooManyRequests(RequestRefused):
    """One key asks more often than it may."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    kind = "too-many-requests"
    title = "Too many requests"

    def __init__(self, detail: str, wait_seconds: float) -> None:
        super().__init__(detail)
        self.retry_after_seconds = wait_seconds


class TooLarge(RequestRefused):
    """The body has more bytes than are read."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    kind = "too-large"
    title = "The request is too large"


class NotRead(RequestRefused):
    """The body is encoded in a way that is not read, or damaged."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    kind = "not-read"
    title = "The body cannot be unpacked"


class TooLate(RequestRefused):
    """The answer was not ready in time."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "too-late"
    title = "The answer was not ready in time"


class FeedbackFull(RequestRefused):
    """Training has not taken events for too long; none is dropped to make room."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "feedback-full"
    title = "No more feedback can be kept at the moment"
    retry_after_seconds = 60


class StoreUnavailable(RequestRefused):
    """How a SourceUnavailable is answered that nobody has caught, if nothing was changed."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "store-unavailable"
    title = "The store cannot be reached at the moment"


class OutcomeUnknown(RequestRefused):
    """A change was sent to the store, and no answer came."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "outcome-unknown"
    title = "It is not known whether this was done"

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"{detail}; what was asked for may or may not have been done: "
            "send the same again, which does no harm"
        )
