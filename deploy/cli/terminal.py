"""What a terminal or a pipe gets that has no letter for what is printed."""

import codecs
import io
import sys

_HANDLER = "magnet"
_BARS = {"\u2591": ".", "\u2592": "-", "\u2593": "="}
"""For shades; they tell parts of a bar apart."""


def print_anything() -> None:
    """Have standard output print every text: bars in ASCII, other letters escaped as in Python."""
    codecs.register_error(_HANDLER, _instead)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=_HANDLER)


def _instead(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    letter = error.object[error.start]
    if "\u2500" <= letter <= "\u259f":  # lines and blocks
        return _BARS.get(letter, "#"), error.start + 1
    escaped, _ = codecs.backslashreplace_errors(
        UnicodeEncodeError(error.encoding, letter, 0, 1, error.reason)
    )
    return escaped, error.start + 1
