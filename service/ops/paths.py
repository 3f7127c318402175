"""Ids in a path: a slash that is a part of an id, `%2F`, is none that ends it."""

import re
from urllib.parse import unquote_to_bytes

_LONE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_KEPT = re.compile(rb"%(?=2[5Ff])")
_MARK = re.compile("%25|%2[Ff]")


def marked(raw_path: bytes) -> str:
    """A path as routes are to see it: decoded but for `%2F`, and `%25` to tell it from that.

    UnicodeDecodeError.
    """
    return unquote_to_bytes(_KEPT.sub(b"%25", _LONE.sub(b"%25", raw_path))).decode()


def unmarked(part: str) -> str:
    """A part of such a path, decoded."""
    return _MARK.sub(lambda mark: "%" if mark[0] == "%25" else "/", part)
