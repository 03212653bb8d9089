"""The page `/docs` in a browser."""

import httpx
import pytest
from playwright.sync_api import sync_playwright

from scripts.screenshots import find_browser


@pytest.mark.skipif(find_browser() is None, reason="no Chromium on PATH; CHROMIUM names one elsewhere")
def test_the_page_shows_every_route_and_loads_nothing_from_elsewhere(api: httpx.Client) -> None:
    paths = httpx.get(f"{api.base_url}openapi.json").json()["paths"]
    routes = [path for path, methods in paths.items() for _ in methods]
    requested: list[str] = []

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = chromium.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"{api.base_url}docs")
        page.locator(".opblock").nth(len(routes) - 1).wait_for()
        shown = page.locator(".opblock-summary-path").evaluate_all("paths => paths.map(path => path.dataset.path)")
        chromium.close()

    assert sorted(shown) == sorted(routes)
    assert [url for url in requested if httpx.URL(url).host != api.base_url.host and "://" in url] == []
