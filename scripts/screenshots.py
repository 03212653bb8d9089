"""`make screenshots`: takes the screenshots of the documentation from the platform that runs in this folder.

First follow the tutorial up to the step "Search for better parameters": the screenshots show the run, the jobs and the
model of the tutorial. The browser is the system's Chromium, or the program that `CHROMIUM` names.
"""

import os
import shutil
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Final

import httpx
from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from app.cli.endpoints import Endpoints
from app.settings import settings

FOLDER: Final = Path(__file__).parents[1] / "docs" / "images"

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names of Chromium on PATH, in the order of the search."""

SIZE: Final = ViewportSize(width=1280, height=800)

TIMEOUT_MS: Final = 60_000
"""Longest time until a page shows the content of its screenshot."""

SETTLE_MS: Final = 3_000
"""Time for animations and images after a page shows its content."""

OpenPage = Callable[[Page, Endpoints], None]
"""Opens a page of the platform and brings it to the state of its screenshot."""


def mlflow_run(page: Page, platform: Endpoints) -> None:
    """Open MLflow's page of the run of the newest version, and close the assistant that covers the metrics."""
    page.goto(_run_url(platform))
    page.get_by_text("balanced_accuracy").first.wait_for()
    page.get_by_role("button", name="Close").last.click()


def mlflow_plot(page: Page, platform: Endpoints) -> None:
    """Open a plot among the artifacts of the same run."""
    page.goto(_run_url(platform) + "/artifacts")
    page.get_by_role("button", name="Close").last.click()
    page.get_by_text("confusion_matrix.png").click()
    page.get_by_text("Path: mlflow-artifacts:").wait_for()


def _run_url(platform: Endpoints) -> str:
    api = f"{platform.mlflow_url}/api/2.0/mlflow"
    query: dict[str, str | int] = {
        "filter": f"name='{settings().model_name}'",
        "order_by": "version_number DESC",
        "max_results": 1,
    }
    [version] = httpx.get(f"{api}/model-versions/search", params=query).raise_for_status().json()["model_versions"]
    run = httpx.get(f"{api}/runs/get", params={"run_id": version["run_id"]}).raise_for_status().json()["run"]
    return f"{platform.mlflow_url}/#/experiments/{run['info']['experiment_id']}/runs/{version['run_id']}"


def ray_jobs(page: Page, platform: Endpoints) -> None:
    """Enter the token in Ray's dashboard, and open the list of jobs."""
    page.goto(f"{platform.ray_url}/#/jobs")
    page.get_by_placeholder("Enter your authentication token").fill(platform.ray_token)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("SUCCEEDED").first.wait_for()


def api_page(page: Page, platform: Endpoints) -> None:
    """Open the page of the HTTP API, and unfold the route for predictions."""
    page.goto(f"{platform.api_url}/docs")
    route = page.locator("#operations-default-predict_predict_post")
    route.locator(".opblock-summary-control").click()
    page.get_by_role("heading", name="Request body").wait_for()
    route.evaluate("element => element.scrollIntoView()")


def service_page(page: Page, platform: Endpoints) -> None:
    """Open the page of the service, and predict the row of its form.

    For the shadow and the charts, begin a shadow before (`manta shadow`), and send requests for a minute.
    """
    page.goto(f"{platform.api_url}/")
    page.get_by_text("Held-out row 1").wait_for()
    page.get_by_role("button", name="Predict").click()
    page.locator("#answer strong").wait_for()


SCREENSHOTS: Final[dict[str, OpenPage]] = {
    "mlflow-run.png": mlflow_run,
    "mlflow-plot.png": mlflow_plot,
    "ray-jobs.png": ray_jobs,
    "api-docs.png": api_page,
    "page.png": service_page,
}
"""The page of each screenshot, by file name."""


def find_browser() -> str | None:
    """Path of Chromium: the program that `CHROMIUM` names, or the first of `BROWSERS` on PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def main() -> None:
    """Take every screenshot."""
    browser = find_browser()
    if browser is None:
        sys.exit("No Chromium on PATH. Install it (Debian: apt-get install chromium), or name it with CHROMIUM.")
    platform = Endpoints.resolve(settings())
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        # Chromium's sandbox needs user namespaces, which containers lack; only pages of this machine are opened.
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, open_page in SCREENSHOTS.items():
            page = chromium.new_page(viewport=SIZE)
            page.set_default_timeout(TIMEOUT_MS)
            open_page(page, platform)
            page.wait_for_timeout(SETTLE_MS)
            Image.open(BytesIO(page.screenshot())).quantize().save(FOLDER / name, optimize=True)
            print(FOLDER.name + "/" + name)  # noqa: T201 - the result of the command
        chromium.close()


if __name__ == "__main__":
    main()
