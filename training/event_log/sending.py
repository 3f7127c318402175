"""Events into the stream, as the service puts them there: for trials and drills without a service.

Knows the stream's key; knows nothing about where events come from.
"""

from collections.abc import Iterable

from model.contract.feedback import EVENT_FIELD, FeedbackEvent
from model.contract.keys import KeySpace
from training.publish.connection import connected


def send(redis_url: str, namespace: str, events: Iterable[FeedbackEvent]) -> None:
    """Append them, in one pipeline.

    Raises:
        PublishError: the server cannot be used.
    """
    with connected(redis_url) as client, client.pipeline(transaction=False) as pipe:
        for event in events:
            pipe.xadd(KeySpace(namespace).feedback, {EVENT_FIELD: event.model_dump_json()})
        pipe.execute()
