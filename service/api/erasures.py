"""The route that forgets a user. A service without Redis does not offer it."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from service.api.dependencies import GUARDED, REFUSED, SHARED, CallDep, SharedDep, needs
from service.http.problems import MAX_ID_LENGTH
from service.schemas.responses import ErasureResponse

ErasedId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, examples=["911"])]
"""An example of its own: the other operations' user must stay known."""

router = APIRouter(responses=GUARDED | REFUSED | SHARED)


@router.delete(
    "/v1/users/{user_id:user}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=ErasureResponse,
    dependencies=[needs("admin")],
    tags=["users"],
)
async def erase_user(user_id: ErasedId, shared: SharedDep, call: CallDep) -> Response:
    """Forget a user: once this is answered, every replica takes them for one it has never seen.

    Their events and what published models hold of them are gone from Redis. What training keeps,
    the event log, the data folder and older models, is rewritten by the next retraining; `waiting`
    names what is still to be done, and `magnet users erased` tells how far it has come. Whoever
    comes back after this is a new user. After a 503 send it again.
    """
    erasure = await shared.erasures.erase(user_id)
    answer = call.answer(
        ErasureResponse,
        erasure_id=erasure.erasure_id,
        requested_at=erasure.requested_at,
        waiting=list(erasure.waiting),
    )
    answer.status_code = HTTPStatus.ACCEPTED
    return answer
