"""The pages `/docs` and `/redoc` work where browsers have no internet access."""

import asyncio
import re

import httpx
import pytest
from fastapi import FastAPI

from app.serving import docs_pages

PREFIX = "/prefix"
ADDRESS = re.compile(r"""(?:src|href|url|spec-url)\s*[=:]\s*["']([^"']+)["']""")


def ask(*paths: str) -> list[httpx.Response]:
    """Send requests to an API with both pages, below a route prefix."""

    async def run() -> list[httpx.Response]:
        api = FastAPI(docs_url=None, redoc_url=None)
        docs_pages.install(api)
        transport = httpx.ASGITransport(api, root_path=PREFIX)
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            return [await client.get(PREFIX + path) for path in paths]

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_page_refers_only_to_files_that_the_service_delivers(path: str) -> None:
    [page] = ask(path)

    addresses = ADDRESS.findall(page.text)
    answers = ask(*(address.removeprefix(PREFIX) for address in addresses))
    assert len(addresses) >= 3
    assert [address for address in addresses if not address.startswith(f"{PREFIX}/")] == []
    assert [answer.url.path for answer in answers if not answer.is_success] == []


def test_the_pages_are_not_part_of_the_api_that_they_describe() -> None:
    [document] = ask("/openapi.json")

    assert document.json()["paths"] == {}
