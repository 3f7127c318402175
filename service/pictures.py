"""Items' pictures that lie on this machine, served beside the page.

Knows how a data folder names pictures; knows nothing about models, and shows no other file.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from model.contract.pictures import PICTURE_FOLDER, SUFFIXES, file_stem, is_web_address

MOUNTED_AT = "/pictures"
_SHOWN = SUFFIXES - {".tif", ".tiff"}
"""What browsers show."""
_HEADERS = {"Cache-Control": "private, max-age=300", "Content-Security-Policy": "sandbox"}


class PictureFolder:
    """Finds the address of an item's picture; a data folder's pictures may come and go."""

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._filed: dict[str, str] = {}
        self._read_at = -1

    def address(self, item_id: str, named: str | None) -> str | None:
        """Where a browser finds the picture of an item, or None. Blocking.

        Args:
            item_id: whose.
            named: what the item table calls its picture: a web address, or a file in the folder.
        """
        if named is not None and is_web_address(named):
            return named
        if self._data is None:
            return None
        if named and _is_shown(named) and (self._data / named).is_file():
            return _address(PurePosixPath(named).as_posix())
        filed = self._now()
        name = filed.get(item_id) or filed.get(file_stem(item_id))
        return None if name is None else _address(f"{PICTURE_FOLDER}/{name}")

    def _now(self) -> Mapping[str, str]:
        """File names by stem, listed again when the folder has changed."""
        assert self._data is not None
        folder = self._data / PICTURE_FOLDER
        try:
            changed_at = folder.stat().st_mtime_ns
            if changed_at != self._read_at:
                paths = [path for path in sorted(folder.iterdir()) if _is_shown(path.name)]
                self._filed = {path.stem: path.name for path in paths}
                self._read_at = changed_at
        except OSError:
            return {}
        return self._filed


class _PictureFiles(StaticFiles):
    """Pictures of a data folder, and nothing else that lies there."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not _is_shown(path):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def install_pictures(app: FastAPI, data: Path | None) -> None:
    """Serve the pictures of a data folder; without one, none are."""
    if data is not None:
        app.mount(MOUNTED_AT, _PictureFiles(directory=data), name="pictures")


def _is_shown(name: str) -> bool:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and not any(part.startswith(".") for part in path.parts)
    return inside and path.suffix.lower() in _SHOWN


def _address(name: str) -> str:
    return f"{MOUNTED_AT}/{quote(name)}"
