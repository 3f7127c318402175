"""The page at /: recommendations to look at, made of the public API alone.

Knows where its files lie; knows no route of the API.
"""

from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

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
