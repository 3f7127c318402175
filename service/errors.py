"""What can go wrong, and the one place where it becomes an HTTP answer.

    MagnetError
    |-- SourceUnavailable      the store did not answer: reading falls back, writing is refused
    |                          (503 + Retry-After)
    `-- RequestRefused         carries its status; answered as a problem document
        |-- InvalidRequest     422
        |-- UnknownUser        404
        |-- UnknownItem        404
        |-- UnknownVersion     404
        |-- NotOffered         501
        |-- NotReady           503 + Retry-After
        |-- Overloaded         503 + Retry-After
        |-- UserUnavailable    503 + Retry-After
        `-- FeedbackFull       503 + Retry-After

Every error answer is an RFC 9457 problem document, those of the framework included. Knows nothing
about recommending.
"""

import math
from http import HTTPStatus
from typing import ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20
"""Most faults that one answer lists; a list of ten thousand bad ids needs no ten thousand lines."""
RETRY_AFTER_SECONDS = 2
"""What a client is told to wait: one default poll interval."""


class FieldFault(BaseModel):
    """One part of a request that cannot be used."""

    field: str = Field(examples=["k"])
    message: str = Field(examples=["1000000 is too many, the most is 1000"])


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(examples=["urn:magnet:problem:invalid-request"])
    title: str = Field(examples=["The request is not valid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["k: 1000000 is too many, the most is 1000"])
    instance: str = Field(examples=["/v1/users/196/recommendations"])
    request_id: str = Field(examples=["6f1c2a"])
    errors: list[FieldFault] = []


class MagnetError(Exception):
    """Anything that this service raises on purpose."""


class SourceUnavailable(MagnetError):
    """The place where models live did not answer; the message names it without secrets."""


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
    """The user exists, but her row cannot be read now and nothing honest stands in for it."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "user-unavailable"
    title = "The user cannot be read at the moment"


class FeedbackFull(RequestRefused):
    """Training has not taken events over for too long; none is dropped to make room."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "feedback-full"
    title = "No more feedback can be kept at the moment"
    retry_after_seconds = 60


class StoreUnavailable(RequestRefused):
    """How a SourceUnavailable is answered that nobody has caught."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    kind = "store-unavailable"
    title = "The store cannot be reached at the moment"


def install_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(SourceUnavailable, _store_away)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _answer(
    request: Request, error: RequestRefused, headers: dict[str, str] | None = None
) -> JSONResponse:
    headers = dict(headers or {})
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    return _document(
        request,
        Problem(
            type=f"urn:magnet:problem:{error.kind}",
            title=error.title,
            status=error.status,
            detail=error.detail,
            instance=request.url.path,
            request_id=request.state.request_id,
            errors=list(error.errors),
        ),
        headers,
    )


def _document(request: Request, problem: Problem, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(),
        status_code=problem.status,
        headers={"X-Request-ID": request.state.request_id} | headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestRefused)
    return _answer(request, error)


def _store_away(request: Request, error: Exception) -> JSONResponse:
    return _answer(request, StoreUnavailable(f"{error}; nothing was changed, try again"))


def _not_valid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = tuple(
        FieldFault(
            field=".".join(str(part) for part in fault["loc"]),
            message=fault["msg"].removeprefix("Value error, "),
        )
        for fault in error.errors()[:MAX_FAULTS]
    )
    detail = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
    return _answer(request, InvalidRequest(detail, faults))


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = error.detail
    if status == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.url.path}; see /docs for what there is"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.url.path} does not answer {request.method}; see /docs"
    problem = Problem(
        type="about:blank",
        title=status.phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=request.state.request_id,
    )
    return _document(request, problem, dict(error.headers or {}))


def _bug(request: Request, _error: Exception) -> JSONResponse:
    problem = Problem(
        type="urn:magnet:problem:internal",
        title="The service failed",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail="an unexpected error; it is in the log under this request_id",
        instance=request.url.path,
        request_id=request.state.request_id,
    )
    return _document(request, problem, {})
