"""A body that has been read, handed out again.

Knows ASGI's messages; knows nothing about what is in them.
"""

from starlette.types import Message, Receive


def replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands a body out again, then goes on."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
