"""The page at /docs: Swagger UI, all of it from this service.

Knows where a package keeps Swagger UI's files; knows no route of the API.
"""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

ASSETS = "/docs/assets"
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
    app.mount(ASSETS, StaticFiles(directory=folder), name="documentation")


def _policy(html: str) -> str:
    """Only our own files, and the very script that starts the page."""
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'"
    )
