"""`make screenshots`: takes the pictures of docs/tutorial.md from the platform that runs in this folder.

Follow the tutorial as far as the step "Search for better parameters" before: the pictures show its run, its jobs and
its model. The browser is the system's Chromium, which `CHROMIUM` may name.
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
"""Programs that are looked for on PATH, in this order."""

SIZE: Final = ViewportSize(width=1280, height=800)

PATIENCE_MS: Final = 60_000
"""The longest wait for a page to show what its picture needs."""

SETTLE_MS: Final = 3_000
"""Time for animations and images, after a page shows what its picture needs."""

Shot = Callable[[Page, Endpoints], None]


def mlflow_run(page: Page, platform: Endpoints) -> None:
    """MLflow's page of the run that trained the newest version, without the assistant that covers its metrics."""
    page.goto(_run_url(platform))
    page.get_by_text("balanced_accuracy").first.wait_for()
    page.get_by_role("button", name="Close").last.click()


def mlflow_plot(page: Page, platform: Endpoints) -> None:
    """A plot among the artifacts of the same run."""
    page.goto(_run_url(platform) + "/artifacts")
    page.get_by_role("button", name="Close").last.click()
    page.get_by_text("confusion_matrix.png").click()
    page.get_by_text("Path: mlflow-artifacts:").wait_for()


def _run_url(platform: Endpoints) -> str:
    api = f"{platform.mlflow_url}/api/2.0/mlflow"
    newest: dict[str, str | int] = {
        "filter": f"name='{settings().model_name}'",
        "order_by": "version_number DESC",
        "max_results": 1,
    }
    [version] = httpx.get(f"{api}/model-versions/search", params=newest).raise_for_status().json()["model_versions"]
    run = httpx.get(f"{api}/runs/get", params={"run_id": version["run_id"]}).raise_for_status().json()["run"]
    return f"{platform.mlflow_url}/#/experiments/{run['info']['experiment_id']}/runs/{version['run_id']}"


def ray_jobs(page: Page, platform: Endpoints) -> None:
    """Ray's list of jobs, behind the dialog that asks for the token."""
    page.goto(f"{platform.ray_url}/#/jobs")
    page.get_by_placeholder("Enter your authentication token").fill(platform.ray_token)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("SUCCEEDED").first.wait_for()


def api_page(page: Page, platform: Endpoints) -> None:
    """The service's page of its API, with the route for predictions open."""
    page.goto(f"{platform.api_url}/docs")
    route = page.locator("#operations-default-predict_predict_post")
    route.locator(".opblock-summary-control").click()
    page.get_by_role("heading", name="Request body").wait_for()
    route.evaluate("element => element.scrollIntoView()")


SHOTS: Final[dict[str, Shot]] = {
    "mlflow-run.png": mlflow_run,
    "mlflow-plot.png": mlflow_plot,
    "ray-jobs.png": ray_jobs,
    "api-docs.png": api_page,
}
"""What brings each page to the state of its picture, by the name of the file."""


def find_browser() -> str | None:
    """Path of Chromium: the program that `CHROMIUM` names, or the first on PATH."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def main() -> None:
    """Take every picture."""
    browser = find_browser()
    if browser is None:
        sys.exit("No Chromium on PATH. Install it (Debian: apt-get install chromium), or name it with CHROMIUM.")
    platform = Endpoints.resolve(settings())
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        # Chromium's sandbox needs user namespaces, which containers lack; only pages of this machine are opened.
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, shot in SHOTS.items():
            page = chromium.new_page(viewport=SIZE)
            page.set_default_timeout(PATIENCE_MS)
            shot(page, platform)
            page.wait_for_timeout(SETTLE_MS)
            Image.open(BytesIO(page.screenshot())).quantize().save(FOLDER / name, optimize=True)
            print(FOLDER.name + "/" + name)  # noqa: T201 - the result of the command
        chromium.close()


if __name__ == "__main__":
    main()
