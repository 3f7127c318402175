"""One function per call of the API: what is sent, and what kind of answer comes back.

Nothing is sent here: `magnet_client.client` makes a method of both clients of each function. The
service checks the limits of every value.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Generic, TypeVar, Unpack
from urllib.parse import quote

from httpx2 import Response
from pydantic import BaseModel, ValidationError

from magnet_client.answers import (
    AvailabilitiesResponse,
    BatchResponse,
    CategoriesResponse,
    ErasureResponse,
    ExperimentResponse,
    ExplanationResponse,
    FeedbackResponse,
    ItemChangeResponse,
    ItemDeletedResponse,
    ItemResponse,
    ItemsChangeResponse,
    ItemsResponse,
    ModelResponse,
    ModelsResponse,
    RecommendationResponse,
    ReportResponse,
    RulesResponse,
    SimilarResponse,
    UserResponse,
    UsersResponse,
)
from magnet_client.errors import PROBLEMS, InvalidAnswer, Problem, ProblemError
from magnet_client.requests import (
    Boost,
    Event,
    Item,
    ItemFields,
    RecommendationOptions,
    RecommendationRequest,
    Rules,
)

Answer = TypeVar("Answer", bound=BaseModel)
_SHOWN_CHARACTERS = 200


_BULK = 12
"""The service gives a bulk call a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Answer]):
    """A request that has not been sent."""

    method: str
    path: str
    kind: type[Answer]
    params: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    lines: bytes | None = None
    """JSON lines instead of a body."""
    times_longer: int = 1
    """How many times as long as for other calls an answer may take."""

    @property
    def sent(self) -> dict[str, Any]:
        """What is sent, as httpx2 takes it."""
        if self.lines is None:
            return {"json": self.body}
        return {"content": self.lines, "headers": {"Content-Type": "application/x-ndjson"}}

    def read(self, response: Response) -> Answer:
        """The answer in a response.

        Raises:
            ProblemError: the service refused.
            InvalidAnswer: it is not an answer to this call.
        """
        if not response.is_success:
            raise _problem(response)
        try:
            return self.kind.model_validate_json(response.content)
        except ValidationError as error:
            raise InvalidAnswer(
                f"{_shown(response)}: is it the service, and is this client as new as it is?"
            ) from error


def recommend(
    user_id: str | None = None, **options: Unpack[RecommendationOptions]
) -> Call[RecommendationResponse]:
    """A list for a user, a session (`session_items`), or a user in a session.

    A user who is not known gets popular items, flagged by `fallback`.
    """
    body = {**options} if user_id is None else {"user_id": user_id, **options}
    return Call(method="POST", path="/v1/recommendations", kind=RecommendationResponse, body=body)


def recommend_batch(requests: Sequence[RecommendationRequest]) -> Call[BatchResponse]:
    """Several lists from one model version, in the order of the requests."""
    body = {"requests": list(requests)}
    return Call(method="POST", path="/v1/recommendations:batch", kind=BatchResponse, body=body)


def score(
    items: Sequence[str], *, user_id: str | None = None, session_items: Sequence[str] = ()
) -> Call[RecommendationResponse]:
    """Rank a list that you bring: all of its known items, seen or not."""
    body = _someone(user_id, session_items) | {"items": list(items)}
    return Call(method="POST", path="/v1/score", kind=RecommendationResponse, body=body)


def explain(
    user_id: str | None,
    item_id: str,
    *,
    session_items: Sequence[str] = (),
    boosts: Sequence[Boost] = (),
) -> Call[ExplanationResponse]:
    """Why an item, recommended or not, has its score for a user, a session (no user) or both.

    In a list with boosts, if they are given. Arguments are in the order of `magnet explain`.
    """
    body = _someone(user_id, session_items) | {"item_id": item_id}
    if boosts:
        body |= {"boosts": list(boosts)}
    return Call(method="POST", path="/v1/explain", kind=ExplanationResponse, body=body)


def similar(item_id: str, *, k: int = 10, modality: str | None = None) -> Call[SimilarResponse]:
    """The items nearest to one, by one modality or by the mean of all."""
    params = {"k": k} if modality is None else {"k": k, "modality": modality}
    path = f"{_item_path(item_id)}/similar"
    return Call(method="GET", path=path, kind=SimilarResponse, params=params)


def users(prefix: str = "", *, limit: int = 20, cursor: str | None = None) -> Call[UsersResponse]:
    """Users whom the model knows, by the beginning of their ids.

    `next_cursor` of an answer is the `cursor` of the next page, here and in all listings.
    """
    params = {"prefix": prefix, **_page(limit, cursor)}
    return Call(method="GET", path="/v1/users", kind=UsersResponse, params=params)


def user(user_id: str, *, limit: int = 50, cursor: str | None = None) -> Call[UserResponse]:
    """What is known of a user: at most `limit` items of the history and events, taste."""
    path = f"/v1/users/{_segment(user_id)}"
    return Call(method="GET", path=path, kind=UserResponse, params=_page(limit, cursor))


def erase_user(user_id: str) -> Call[ErasureResponse]:
    """Forget a user, who is unknown from then on; needs a key of scope `admin`.

    Sent again until it is answered, as a repeated call goes on with the same erasure.
    """
    path = f"/v1/users/{_segment(user_id)}"
    return Call(method="DELETE", path=path, kind=ErasureResponse)


def feedback(*events: Event) -> Call[FeedbackResponse]:
    """Report what users did: all events are kept, or none.

    Sent again until it is answered, as an event counts once by its id.
    """
    body = {"events": [event.model_dump(mode="json", exclude_none=True) for event in events]}
    return Call(method="POST", path="/v1/feedback", kind=FeedbackResponse, body=body)


def rules() -> Call[RulesResponse]:
    """The rules that hold for every list unless it says `default_rules=False`."""
    return Call(method="GET", path="/v1/rules", kind=RulesResponse)


def put_rules(rules: Rules) -> Call[RulesResponse]:
    """Replace the default rules, from the next list on; needs a key of scope `admin`."""
    return Call(method="PUT", path="/v1/rules", kind=RulesResponse, body=dict(rules))


def delete_rules() -> Call[RulesResponse]:
    """Have no default rules; needs a key of scope `admin`."""
    return Call(method="DELETE", path="/v1/rules", kind=RulesResponse)


def items(
    title: str = "",
    *,
    categories: Sequence[str] = (),
    offset: int = 0,
    limit: int = 20,
    cursor: str | None = None,
) -> Call[ItemsResponse]:
    """Items by a part of the title or by category, the most popular first."""
    wanted = {"title": title, "category": list(categories), "offset": offset}
    params = {**wanted, **_page(limit, cursor)}
    return Call(method="GET", path="/v1/items", kind=ItemsResponse, params=params)


def items_named(item_ids: Sequence[str]) -> Call[ItemsResponse]:
    """Some items, in the order in which they are named."""
    body = {"item_ids": list(item_ids)}
    return Call(method="POST", path="/v1/items:lookup", kind=ItemsResponse, body=body)


def item(item_id: str) -> Call[ItemResponse]:
    """One item, and what the live model knows it by."""
    return Call(method="GET", path=_item_path(item_id), kind=ItemResponse)


def put_item(item_id: str, **fields: Unpack[ItemFields]) -> Call[ItemChangeResponse]:
    """Put an item, new or not, all of it: it is recommended within a second."""
    path = _item_path(item_id)
    return Call(method="PUT", path=path, kind=ItemChangeResponse, body={**fields})


def patch_item(item_id: str, **fields: Unpack[ItemFields]) -> Call[ItemChangeResponse]:
    """Change some fields of an item; None takes one away."""
    path = _item_path(item_id)
    return Call(method="PATCH", path=path, kind=ItemChangeResponse, body={**fields})


def delete_item(item_id: str) -> Call[ItemDeletedResponse]:
    """Retire an item: from the next request on nobody is shown it."""
    return Call(method="DELETE", path=_item_path(item_id), kind=ItemDeletedResponse)


def put_items(items: Iterable[Item] | bytes) -> Call[ItemsChangeResponse]:
    """Put up to 10,000 items, or JSON lines of them; with a faulty line, none.

    An answer may take twelve times as long as others: at first a minute.
    """
    if not isinstance(items, bytes):
        items = "\n".join(map(json.dumps, items)).encode()
    path = "/v1/items:bulk"
    kind = ItemsChangeResponse
    return Call(method="POST", path=path, kind=kind, lines=items, times_longer=_BULK)


def hide(item_ids: Sequence[str]) -> Call[AvailabilitiesResponse]:
    """Have nobody be shown up to 10,000 items, from the next list on; the scope is `admin`."""
    return _availability(item_ids, available=False)


def show(item_ids: Sequence[str]) -> Call[AvailabilitiesResponse]:
    """Let up to 10,000 hidden items be shown again; needs a key of scope `admin`."""
    return _availability(item_ids, available=True)


def _availability(item_ids: Sequence[str], *, available: bool) -> Call[AvailabilitiesResponse]:
    body = {"item_ids": list(item_ids), "available": available}
    path = "/v1/items:availability"
    return Call(method="POST", path=path, kind=AvailabilitiesResponse, body=body)


def _item_path(item_id: str) -> str:
    return f"/v1/items/{_segment(item_id)}"


def _segment(text: str) -> str:
    """As a part of a path; dots alone would lead up in it."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def model() -> Call[ModelResponse]:
    """What is being served."""
    return Call(method="GET", path="/v1/model", kind=ModelResponse)


def categories(*, limit: int = 1000, cursor: str | None = None) -> Call[CategoriesResponse]:
    """Categories that a list can be restricted to, largest first."""
    params = _page(limit, cursor)
    return Call(method="GET", path="/v1/categories", kind=CategoriesResponse, params=params)


def models(*, limit: int = 100, cursor: str | None = None) -> Call[ModelsResponse]:
    """What has been published, newest first."""
    return Call(method="GET", path="/v1/models", kind=ModelsResponse, params=_page(limit, cursor))


def report(version: str) -> Call[ReportResponse]:
    """What a model has learnt; NotFound if it was published early."""
    path = f"/v1/models/{_segment(version)}/report"
    return Call(method="GET", path=path, kind=ReportResponse)


def experiment() -> Call[ExperimentResponse]:
    """Which is better, the live model or the canary; NotFound if there never was one."""
    return Call(method="GET", path="/v1/experiments/current", kind=ExperimentResponse)


def _page(limit: int, cursor: str | None) -> dict[str, Any]:
    return {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}


def _someone(user_id: str | None, session_items: Sequence[str]) -> dict[str, Any]:
    session = {"session_items": list(session_items)} if session_items else {}
    return session if user_id is None else {"user_id": user_id, **session}


def _problem(response: Response) -> ProblemError:
    """The error for a refusal; that of a proxy may have no document."""
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        title = f"{_shown(response)}"
        problem = Problem(title=title, status=response.status_code)
    kind = PROBLEMS.get(response.status_code, ProblemError)
    return kind(problem, _retry_after_seconds(response.headers.get("Retry-After")))


def _retry_after_seconds(header: str | None) -> float | None:
    """Seconds by a header of seconds or a date (RFC 9110); None for anything else."""
    if header is None:
        return None
    try:
        if header.isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


def _shown(response: Response) -> str:
    url = response.request.url.copy_with(userinfo=b"")
    return f"{url} answers {response.status_code} {response.text[:_SHOWN_CHARACTERS]!r}"
