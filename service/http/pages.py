"""The page at /: recommendations to look at, made of the public API alone.

Knows where its files lie; knows no route of the API.
"""

# FOLDED service/http/pages.py: The page at /docs: Swagger UI, all of it from this service.
#
#   Knows where a package keeps Swagger UI's files; knows no route of the API.
#
# FOLDED service/http/pages.py: Items' pictures that lie on this machine, served beside the page.
#
#   Knows how a data folder names pictures; knows nothing about models, and shows no other file.
#

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from model.artifact.files import PICTURE_FOLDER, SUFFIXES, file_stem, is_web_address

DOCUMENTATION_ASSETS = "/docs/assets"
_NO_PICTURE = "data:,"


def install_documentation(app: FastAPI) -> None:
    """Serve /docs, for browsers without a way to the internet too."""
    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title=app.title,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=_NO_PICTURE,
    )
    html = bytes(page.body).decode()
    policy = _policy(html)

    async def documentation() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    app.add_api_route("/docs", documentation, include_in_schema=False)
    # The package is looked into, not imported: its code is for another way of doing the same.
    folder = str(files("fastapi_swagger") / "resources")
    app.mount(DOCUMENTATION_ASSETS, StaticFiles(directory=folder), name="documentation")


def _policy(html: str) -> str:
    """Only our own files, and the very script that starts the page."""
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'"
    )


MOUNTED_AT = "/pictures"
_SHOWN = SUFFIXES - {".tif", ".tiff"}
"""What browsers show."""
_PICTURE_HEADERS = {"Cache-Control": "private, max-age=300", "Content-Security-Policy": "sandbox"}


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
        response.headers.update(_PICTURE_HEADERS)
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


ASSETS = "/page"
_HEADERS = {
    # Our own files and nothing else, but for the pictures that the catalogue names.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' https: http: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


def install_page(app: FastAPI) -> None:
    """Serve the page; it needs no build and asks no other server for anything."""
    folder = str(files("service") / "web")

    async def page() -> FileResponse:
        return FileResponse(f"{folder}/index.html", headers=_HEADERS)

    app.add_api_route("/", page, include_in_schema=False)
    app.mount(ASSETS, StaticFiles(directory=folder), name="page")
