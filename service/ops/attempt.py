"""What a request has sent to be changed: whether a failure may say that nothing was."""

from contextvars import ContextVar


class Attempt:
    """Counts what one request has sent to the store that changes something."""

    __slots__ = ("is_writing", "sent")

    def __init__(self) -> None:
        self.is_writing = False
        """Whether what is sent now changes something."""
        self.sent = 0
        """How often such a thing was sent and not certainly refused."""


current_attempt: ContextVar[Attempt | None] = ContextVar("current_attempt", default=None)
"""That of the request that this task serves; None outside requests."""


def may_be_done() -> bool:
    """Whether this request may have changed something."""
    attempt = current_attempt.get()
    return attempt is not None and attempt.sent > 0
