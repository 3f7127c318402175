"""How the files of items' pictures are named in a data folder.

Knows names; knows nothing about what is in a picture, or about what items there are.
"""

import re
from urllib.parse import quote

PICTURE_FOLDER = "images"
"""In the data folder: a picture per item, named after its id."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_WEB_ADDRESS = re.compile(r"[a-z]+://|data:|//", re.IGNORECASE)


def is_web_address(name: str) -> bool:
    """Whether a picture's name points to no file of this machine."""
    return _WEB_ADDRESS.match(name) is not None


def file_stem(item_id: str) -> str:
    """The item's id as a file name: what cannot stand in one is percent-encoded (`a%2Fb`)."""
    return quote(item_id, safe=" !#$&'()+,;=@[]{}~^")
