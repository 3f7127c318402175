"""Turns every error, the framework's too, into an HTTP answer: an RFC 9457 problem document.

Ids in a path are read here too: any text, with slashes and line breaks. `%2F` is a part of an id,
whatever follows; a plain slash is one unless the rest is the path of another route.
"""

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException

from service.ops.attempt import may_be_done
from service.ops.paths import unmarked
from service.schemas.errors import (
    FieldFault,
    InvalidRequest,
    OutcomeUnknown,
    RequestRefused,
    SourceUnavailable,
    StoreUnavailable,
)

MAX_ID_LENGTH = 256
UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, examples=["196"])]
ItemId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, examples=["242"])]


class _AnyText(StringConvertor):
    """`{name:id}` in a route: as the framework's `path`, but with line breaks."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return unmarked(value)


class _User(_AnyText):
    """`{user_id:user}`: as `id`, but nothing that is the path of another route of a user."""

    regex = r"(?s:(?!.*/(?:recommendations|explanations/.*)\Z).*)"


class _Listed(_AnyText):
    """`{user_id:listed}/recommendations`: as `id`, but not why a user gets that item."""

    regex = r"(?s:(?![^/]+/explanations/recommendations\Z).*)"


class _Item(_AnyText):
    """`{name:item}` at the end of a route: as `id`, but not what is said of an item."""

    regex = r"(?s:(?!.*/(?:similar|availability)\Z).*)"


register_url_convertor("id", _AnyText())
register_url_convertor("item", _Item())
register_url_convertor("listed", _Listed())
register_url_convertor("user", _User())

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 20
"""Most faults that one answer lists."""
_logger = logging.getLogger(__name__)
_TRY_LATER = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(examples=["urn:magnet:problem:invalid-request"])
    title: str = Field(examples=["The request is not valid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["k: 1000000 is too many, the most is 1000"])
    instance: str = Field(examples=["/v1/users/196/recommendations"])
    request_id: str = Field(examples=["6f1c2a"])
    errors: list[FieldFault] = []


_SCHEMAS = "#/components/schemas/{model}"
_CONTENT = {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": _SCHEMAS.format(model="Problem")}}}
_DESCRIPTIONS = {
    "BodyUnreadable": "The body cannot be read",
    "NoKey": "No key, or one that is not known",
    "Forbidden": "The key does not open this",
    "NotFound": "There is no such user, item or version",
    "NoExperiment": "There has been no canary, so nothing was compared",
    "Conflict": "Not while the versions stand as they do; see `detail`",
    "BodyTooLarge": "The body is too large",
    "BodyCompressed": "The body is compressed, and not by gzip, or it is damaged",
    "Invalid": "The request is not valid; `errors` names the fields",
    "TooManyRequests": "The key has asked too often; see `Retry-After`",
    "NotShared": "This service serves a folder and has no Redis",
    "Unavailable": "No model is served yet, the store is away, or the answer took too long; see "
    "`Retry-After`",
}


def problems(names: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may be answered with these problems, by status.

    FastAPI's `model` would build a validator for each of some 300 such answers: a tenth of the time
    until the service is ready.
    """
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in names.items()}


def problem_components() -> dict[str, dict[str, Any]]:
    """The parts of the OpenAPI document that `problems` refers to."""
    schema = Problem.model_json_schema(ref_template=_SCHEMAS)
    return {
        "schemas": {**schema.pop("$defs"), "Problem": schema},
        "responses": {
            name: {"description": description, "content": _CONTENT}
            for name, description in _DESCRIPTIONS.items()
        },
    }


def install_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)


def error_answer(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error; one that nobody has foreseen is logged."""
    kind = next(each for each in type(error).__mro__ if each in _ANSWERS)
    if kind is Exception:
        _logger.error("an unexpected error", exc_info=error)
    return _ANSWERS[kind](request, error)


def problem_answer(request: Request, error: RequestRefused) -> JSONResponse:
    """The answer to a refused request."""
    headers = {}
    if error.status in _TRY_LATER:
        headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _document(
        request,
        headers,
        type=f"urn:magnet:problem:{error.kind}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        errors=list(error.errors),
    )


def _document(request: Request, headers: Mapping[str, str], **problem: Any) -> JSONResponse:
    """An answer with these fields of a problem and those that all problems have."""
    request_id = request.state.request_id
    document = Problem(**problem, instance=request.url.path, request_id=request_id)
    return JSONResponse(
        document.model_dump(),
        status_code=document.status,
        headers={"X-Request-ID": request_id, **headers},
        media_type=PROBLEM_MEDIA_TYPE,
    )


def refusal(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that is refused, or that needs the store while it is away."""
    if isinstance(error, SourceUnavailable):
        if may_be_done():
            error = OutcomeUnknown(str(error))
        else:
            error = StoreUnavailable(f"{error}; nothing was changed, try again")
    assert isinstance(error, RequestRefused)
    return problem_answer(request, error)


def _not_valid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = tuple(
        FieldFault(
            field=".".join(str(part) for part in fault["loc"]),
            message=_message(fault, request.headers.get("content-type")),
        )
        for fault in error.errors()[:MAX_FAULTS]
    )
    detail = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
    return problem_answer(request, InvalidRequest(detail, faults))


def _message(fault: Mapping[str, Any], content_type: str | None) -> str:
    """What is wrong with a part of a request; the framework reads no body of another type."""
    if fault["loc"] == ("body",) and isinstance(fault.get("input"), bytes):
        how = f"as {content_type!r}" if content_type else "without a Content-Type"
        return f"it was sent {how}; send JSON as application/json"
    if fault["type"] == "json_invalid":
        return f"it is no JSON from character {fault['loc'][1] + 1} on: {fault['ctx']['error']}"
    message: str = fault["msg"]
    return message.removeprefix("Value error, ")


def not_text(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that should be text."""
    return (
        f"it is not UTF-8: byte 0x{error.object[error.start]:02x} at place {error.start + 1} "
        "does not fit; encode text as UTF-8, in a path or query then with percent signs"
    )


def _unread(error: BaseException) -> str:
    """Why a body is no JSON that can be read."""
    if isinstance(error, UnicodeDecodeError):
        return not_text(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number in it has too many digits" if isinstance(error, ValueError) else str(error)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RequestRefused):  # as the body was read
        return problem_answer(request, error.__cause__)
    status = HTTPStatus(error.status_code)
    detail, headers = error.detail, dict(error.headers or {})
    if status == HTTPStatus.BAD_REQUEST and error.__cause__ is not None:
        detail = f"body: {_unread(error.__cause__)}"
    if status == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.url.path}; see /docs for what there is"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.url.path} does not answer {request.method}; see /docs"
        # The framework names the methods of the first route of this path only.
        route = request.scope.get("route")
        documented = request.app.openapi()["paths"].get(getattr(route, "path_format", None))
        if documented is not None:
            methods = [method.upper() for method in documented]
            headers["Allow"] = ", ".join(sorted([*methods, *["HEAD"] * ("GET" in methods)]))
    return _document(
        request, headers, type="about:blank", title=status.phrase, status=status, detail=detail
    )


def _bug(request: Request, _error: Exception) -> JSONResponse:
    return _document(
        request,
        {},
        type="urn:magnet:problem:internal",
        title="The service failed",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail="an unexpected error; it is in the log under this request_id",
    )


_ANSWERS: dict[type, Callable[[Request, Exception], JSONResponse]] = {
    RequestRefused: refusal,
    SourceUnavailable: refusal,
    RequestValidationError: _not_valid,
    HTTPException: _http,
    Exception: _bug,
}
