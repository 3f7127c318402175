"""Ids of users and items in a path: any text, with slashes and line breaks.

Knows how a path is taken apart; knows nothing about what is asked.
"""

from typing import Annotated

from fastapi import Path
from starlette.convertors import StringConvertor, register_url_convertor

UserId = Annotated[str, Path(min_length=1, max_length=256, examples=["196"])]
ItemId = Annotated[str, Path(min_length=1, max_length=256, examples=["242"])]


class _AnyText(StringConvertor):
    """`{name:id}` in a route; the framework's `path` takes everything but line breaks."""

    regex = "(?s:.*)"


register_url_convertor("id", _AnyText())
