"""The pages at / and /docs, and the pictures of items: files for browsers, not part of the API.

All files come from this service, so the pages work without the internet.
"""

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

PAGE_FILES, SWAGGER_FILES, PICTURES = "/page", "/docs/assets", "/pictures"
_NO_ICON = "data:,"
_PAGE_HEADERS = {
    # Our own files only, and the pictures that the catalogue names.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' https: http: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_FILE_HEADERS = {"Cache-Control": "no-cache"}
"""Of the page's own files: after an upgrade a browser must not mix old ones with new ones."""
_PICTURE_HEADERS = {"Cache-Control": "private, max-age=300", "Content-Security-Policy": "sandbox"}
_SHOWN = SUFFIXES - {".tif", ".tiff"}
"""Picture formats that browsers show."""


def install_page(app: FastAPI) -> None:
    """Serve the page at /, which uses only the public API and needs no build."""
    folder = str(files("service") / "web")

    async def page() -> FileResponse:
        return FileResponse(f"{folder}/index.html", headers=_PAGE_HEADERS)

    app.add_api_route("/", page, include_in_schema=False)
    app.mount(PAGE_FILES, _Files(_FILE_HEADERS, directory=folder), name="page")


def install_documentation(app: FastAPI) -> None:
    """Serve Swagger UI at /docs, which speaks to the API beside it."""
    page = get_swagger_ui_html(
        # Relative, for a proxy may serve all of it under a path of its own.
        openapi_url=str(app.openapi_url).lstrip("/"),
        title=app.title,
        swagger_js_url=f"{SWAGGER_FILES.lstrip('/')}/swagger-ui-bundle.js",
        swagger_css_url=f"{SWAGGER_FILES.lstrip('/')}/swagger-ui.css",
        swagger_favicon_url=_NO_ICON,
    )
    html = bytes(page.body).decode()
    policy = _policy(html)

    async def documentation() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    app.add_api_route("/docs", documentation, include_in_schema=False)
    # Of this package we use the files, not the code.
    folder = str(files("fastapi_swagger") / "resources")
    app.mount(SWAGGER_FILES, StaticFiles(directory=folder), name="documentation")


def _policy(html: str) -> str:
    """Allow our own files, and the one script within the page that starts it."""
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'"
    )


class PictureFolder:
    """Finds the addresses of items' pictures; files may come and go meanwhile."""

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._name_of_stem: dict[str, str] = {}
        self._listed_at = -1

    def address(self, item_id: str, named: str | None) -> str | None:
        """Where a browser finds the picture of an item, or None. Blocking.

        Args:
            item_id: the item.
            named: its picture in the item table: a web address, or a file in the folder.
        """
        if named is not None and is_web_address(named):
            return f"https:{named}" if named.startswith("//") else named
        if self._data is None:
            return None
        if named and _is_shown(named) and _is_file(self._data / named):
            return f"{PICTURES}/{quote(PurePosixPath(named).as_posix())}"
        names = self._names(self._data / PICTURE_FOLDER)
        name = names.get(item_id) or names.get(file_stem(item_id))
        return None if name is None else f"{PICTURES}/{quote(f'{PICTURE_FOLDER}/{name}')}"

    def _names(self, folder: Path) -> Mapping[str, str]:
        """File names by stem, listed again when the folder has changed."""
        try:
            changed_at = folder.stat().st_mtime_ns
            if changed_at != self._listed_at:
                paths = [path for path in sorted(folder.iterdir()) if _is_shown(path.name)]
                self._name_of_stem = {path.stem: path.name for path in paths}
                self._listed_at = changed_at
        except OSError:
            return {}
        return self._name_of_stem


class _Files(StaticFiles):
    """Files of a folder, with headers."""

    def __init__(self, headers: Mapping[str, str], *, directory: Path | str) -> None:
        super().__init__(directory=directory)
        self._headers = headers

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(self._headers)
        return response


class _PictureFiles(_Files):
    """Pictures of a data folder, and nothing else in it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not _is_shown(path):
            raise HTTPException(404)
        return await super().get_response(path, scope)


def install_pictures(app: FastAPI, data: Path | None) -> None:
    """Serve the pictures of a data folder, if there is one."""
    if data is not None:
        app.mount(PICTURES, _PictureFiles(_PICTURE_HEADERS, directory=data), name="pictures")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long for a name
        return False


def _is_shown(name: str) -> bool:
    path = PurePosixPath(name)
    inside = not path.is_absolute() and not any(part.startswith(".") for part in path.parts)
    return inside and path.suffix.lower() in _SHOWN
