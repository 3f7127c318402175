"""What is being worked for, as spans of traces, and the parts of that work.

Knows nothing of OpenTelemetry, which is loaded only where it is set up (`model.tracing.setup`).
Without it nothing is ever being worked for, and a part costs a look at a context variable.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, Protocol

Kind = Literal["internal", "client", "server"]
Attributes = Mapping[str, str | int]


class Span(Protocol):
    """A piece of work that has begun."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""

    def begin(self, name: str, kind: Kind, attributes: Attributes) -> "Span":
        """A part of it that begins now."""

    def fail(self, error: BaseException) -> None:
        """Note that it fails, and by what kind of error; what the error says is not told."""

    def end(self) -> None:
        """It ends now."""


current: ContextVar[tuple[Span, ...]] = ContextVar("spans", default=())
"""What this task or thread works for; several spans where requests are answered together."""
_NOTHING = nullcontext()


def part(
    name: str, kind: Kind = "internal", **attributes: str | int
) -> AbstractContextManager[object]:
    """Note what the block does as a part of each span that is being worked for."""
    parents = current.get()
    if not parents:
        return _NOTHING
    return ended(tuple(span.begin(name, kind, attributes) for span in parents))


@contextmanager
def ended(spans: tuple[Span, ...]) -> Iterator[None]:
    """Work for some spans in this block, which end with it."""
    token = current.set(spans)
    try:
        yield
    except BaseException as error:
        for each in spans:
            each.fail(error)
        raise
    finally:
        current.reset(token)
        for each in spans:
            each.end()


@contextmanager
def together(spans: Iterable[tuple[Span, ...]]) -> Iterator[None]:
    """Work in this block for those for whom some callers have worked."""
    token = current.set(tuple(dict.fromkeys(span for several in spans for span in several)))
    try:
        yield
    finally:
        current.reset(token)
