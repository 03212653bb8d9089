"""The page `/` of a running platform, in Chromium."""

import json
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from mlflow import MlflowClient
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, ViewportSize, expect, sync_playwright

from app import names
from scripts.screenshots import find_browser
from tests.support.local import LocalFolder, RunningPlatform

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on PATH; CHROMIUM names one elsewhere")

LOAD_TIMEOUT_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def other_version(platform: RunningPlatform, local: LocalFolder) -> Iterator[str]:
    """A version that does not serve."""
    assert platform.process.poll() is None, platform.output
    trained = local.run("train", "--trees", "3", "--no-promote")
    assert trained.returncode == 0, trained.stderr
    registry = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    version = str(max(int(one.version) for one in registry.search_model_versions(f"name='{names.MODEL_NAME}'")))
    yield version
    registry.delete_model_version(names.MODEL_NAME, version)


def is_error(message: ConsoleMessage) -> bool:
    """Chromium reports each refused request as an error too, also the one that a test provokes."""
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def is_missing(response: Response) -> bool:
    return response.request.method == "GET" and not response.ok


@pytest.fixture
def page(chromium: Browser, api: httpx.Client) -> Iterator[Page]:
    """The page. At the end it must have logged no error, and have asked no other host."""
    context = chromium.new_context()
    page = context.new_page()
    errors: list[str] = []
    hosts: set[str | None] = set()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    page.on("response", lambda response: errors.append(response.url) if is_missing(response) else None)
    page.on("request", lambda request: hosts.add(httpx.URL(request.url).host if "://" in request.url else None))
    page.goto(str(api.base_url))
    expect(page.get_by_role("button", name="Predict")).to_be_visible()
    expect(page.locator("#example-note")).to_contain_text("Held-out row 1")
    yield page
    context.close()
    assert errors == []
    assert hosts - {None} == {api.base_url.host}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_the_page_fits_the_screen_and_follows_the_rules_of_accessible_pages(
    page: Page, width: int, scheme: str
) -> None:
    page.set_viewport_size(ViewportSize(width=width, height=800))
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer strong")).to_be_visible()

    findings = Axe().run(page).response["violations"]

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in findings] == []


def test_a_row_is_predicted_with_the_keyboard_alone(page: Page, api: httpx.Client) -> None:
    example = api.get("model").json()["example"]

    page.locator("body").press("Tab")
    page.keyboard.press("Enter")  # the link that skips to the form
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Predict":
            break
    page.keyboard.press("Enter")

    answer = api.post("predict", json={"features": example["features"][:1]}).json()
    expect(page.locator("#answer strong")).to_have_text(str(answer["predictions"][0]))
    expect(page.locator("#answer")).to_contain_text(f"true value: {example['labels'][0]}")
    shown = page.locator("#answer .bars span").all_text_contents()
    assert shown[1::2] == [f"{value:.3f}" for value in sorted(answer["probabilities"][0], reverse=True)]


def test_the_shown_command_sends_the_row_of_the_form(page: Page, api: httpx.Client) -> None:
    page.locator("[data-column]").first.fill("12.5")

    command = page.locator("#code-curl").text_content() or ""
    body = json.loads(command.partition("-d ")[2].strip("'"))
    assert f"curl {api.base_url}predict" in command
    assert 12.5 in body["rows"][0].values()
    assert api.post("predict", json=body).is_success


def test_a_wrong_value_gets_the_sentence_of_the_service(page: Page) -> None:
    page.locator("[data-column]").first.fill("many")
    with page.expect_response("**/predict") as response:
        page.get_by_role("button", name="Predict").click()

    assert response.value.status == 422
    expect(page.locator("#answer")).to_contain_text("many")


def test_a_rollout_is_ended_from_the_page(
    page: Page, api: httpx.Client, local: LocalFolder, other_version: str
) -> None:
    api.post("model/rollout", json={"version": other_version, "min_rows": 1000}).raise_for_status()
    panel = page.locator("#rollout")

    expect(panel).to_contain_text("answers 5 % of the requests", timeout=LOAD_TIMEOUT_MS)
    findings = Axe().run(page).response["violations"]
    panel.get_by_role("button", name="End the rollout").click()
    page.get_by_label("Token for changes").fill(local.endpoints.serve_token)
    page.get_by_role("button", name="End it").click()

    expect(panel.locator(".verdict")).to_have_text("aborted", timeout=LOAD_TIMEOUT_MS)
    assert api.get("model/rollout").json()["rollout"]["verdict"] == "aborted"
    assert [one["id"] for one in findings] == []


def test_a_row_is_compared_between_the_versions_with_an_alias(
    page: Page, api: httpx.Client, local: LocalFolder, other_version: str
) -> None:
    serves = api.get("model").json()["model_info"]["version"]
    registry = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    registry.set_registered_model_alias(names.MODEL_NAME, "previous", other_version)

    try:
        # The page may still show the alias of the rollout before.
        roles = json.dumps([["champion", serves], ["previous", other_version]])
        expect(page.locator("#facts")).to_have_attribute("data-roles", roles, timeout=LOAD_TIMEOUT_MS)
        page.get_by_role("button", name="Compare versions").click(timeout=LOAD_TIMEOUT_MS)

        rows = page.locator(".compared tbody tr")
        expect(rows).to_have_count(2, timeout=LOAD_TIMEOUT_MS)
        assert [row.split()[:2] for row in rows.all_inner_texts()] == [
            [serves, "champion"],
            [other_version, "previous"],
        ]
        expect(page.locator("#answer")).to_contain_text("True value: ")
        assert Axe().run(page).response["violations"] == []
    finally:
        registry.delete_registered_model_alias(names.MODEL_NAME, "previous")


def test_a_training_leads_to_its_run_in_mlflow(page: Page, api: httpx.Client, local: LocalFolder) -> None:
    serves = api.get("model").json()["model_info"]["version"]
    registry = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    run_id = registry.get_model_version(names.MODEL_NAME, serves).run_id

    trainings = api.get("model/trainings").raise_for_status().json()["trainings"]

    [training] = [one for one in trainings if one["run_id"] == run_id]
    assert (training["version"], training["state"], training["gate"]) == (serves, "finished", "passed")
    link = page.locator(f'#trainings a[href$="/runs/{run_id}"]')
    assert str(link.get_attribute("href")).startswith(local.endpoints.mlflow_url)


def test_a_version_is_loaded_from_the_page_with_the_token(
    page: Page, api: httpx.Client, local: LocalFolder, other_version: str
) -> None:
    before = api.get("model").json()["model_info"]["version"]

    try:
        page.get_by_role("button", name=f"Load version {other_version}", exact=True).click(timeout=LOAD_TIMEOUT_MS)
        page.get_by_label("Token for changes").fill(local.endpoints.serve_token)
        page.get_by_role("button", name="Load it").click()

        expect(page.locator(".status")).to_have_text(f"Version {other_version} serves", timeout=LOAD_TIMEOUT_MS)
        assert api.get("model").json()["model_info"]["version"] == other_version
    finally:
        assert local.run("load", "--version", before).returncode == 0
