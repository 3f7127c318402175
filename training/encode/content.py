"""What every content is: something with a digest that can be opened for an encoder.

Knows nothing about texts or pictures.
"""

from typing import Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)


class UnreadableContentError(ValueError):
    """A content is there but cannot be opened; the message names it and says why."""


class Content(Protocol[T_co]):
    """The text or the picture of one item."""

    @property
    def digest(self) -> bytes:
        """SHA-256; equal for equal contents. UnreadableContentError if it cannot be read."""
        ...

    @property
    def size(self) -> int:
        """Contents of like size are encoded together."""
        ...

    def open(self) -> T_co:
        """What the encoder reads; UnreadableContentError if it cannot be."""
        ...
