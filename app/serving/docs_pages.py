"""The pages `/docs` and `/redoc` of FastAPI, with scripts and styles that this service delivers.

FastAPI's default pages load them from a CDN, and stay blank where browsers have no internet access.
"""

from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from app.serving import openapi

FILES_PATH: Final = "/docs/files"
"""Path of the scripts and styles, which the package `fastapi-offline` contains."""


def install(api: FastAPI) -> None:
    """Add both pages to an API that was created with `docs_url=None` and `redoc_url=None`."""
    api.mount(FILES_PATH, StaticFiles(packages=[("fastapi_offline", "static")]))

    @api.get("/docs", include_in_schema=False)
    async def swagger_ui(request: Request) -> Response:
        prefix = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{prefix}{openapi.PATH}",
            title=api.title,
            swagger_js_url=f"{prefix}{FILES_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{prefix}{FILES_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{prefix}{FILES_PATH}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},  # the default is a public service
        )

    @api.get("/redoc", include_in_schema=False)
    async def redoc(request: Request) -> Response:
        prefix = request.scope.get("root_path", "")
        return get_redoc_html(
            openapi_url=f"{prefix}{openapi.PATH}",
            title=api.title,
            redoc_js_url=f"{prefix}{FILES_PATH}/redoc.standalone.js",
            redoc_favicon_url=f"{prefix}{FILES_PATH}/favicon.png",
            with_google_fonts=False,
        )
