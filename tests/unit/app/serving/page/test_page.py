"""The page `/` without a browser. `tests/integration/serving/test_page.py` opens it in one."""

import asyncio
import html
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import httpx
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from app.models.recent_trainings import RecentTraining
from app.models.recent_versions import RecentVersion
from app.records.drift_runs import DriftRun, RetrainingDecision
from app.serving import routes
from app.serving.page.view import MAX_FIELDS
from app.serving.requests.limits import RequestLimits
from tests.support import replica_api
from tests.support.fake_fleet import FakeReplicaGroup
from tests.support.fake_models import MODEL, FakeRegistry
from tests.support.replica_api import GUARDED, OPEN, artifact, ask

ADDRESS = re.compile(r"""(?:src|href)="([^"]*)\"""")


def version(number: int, **tags: str) -> RecentVersion:
    return RecentVersion(
        version=str(number), created_ms=1_700_000_000_000, description=f"text {number}", aliases=(), tags=tags
    )


def open_empty_page(
    prepare: Callable[[FakeRegistry], None], *, path: str = "/", judgements: Sequence[DriftRun] = ()
) -> httpx.Response:
    """Open the page of a replica that has loaded no version yet."""

    async def run() -> httpx.Response:
        registry = FakeRegistry()
        member = FakeReplicaGroup().add(registry)
        api = routes.create_api(
            member.fleet,
            member.follower,
            member.catalog,
            member.catalog_follower,
            member.rollout_follower,
            limits=RequestLimits(),
            access=OPEN,
            judgements=lambda: judgements,
        )
        async with api.router.lifespan_context(api), replica_api.http_client(api) as client:
            prepare(registry)
            return await client.get(path)

    return asyncio.run(run())


def test_every_address_of_the_page_is_relative_and_answers() -> None:
    [page] = ask(("GET", "/", None))
    addresses = [address for address in ADDRESS.findall(page.text) if not re.match(r"data:|#|http://127", address)]
    answers = ask(*(("GET", f"/{address}", None) for address in addresses))

    assert page.status_code == 200
    assert {"page/files/page.css", "page/files/page.js", "docs"} <= set(addresses)
    assert [address for address in addresses if address.startswith("/")] == []
    assert [answer.url.path for answer in answers if not answer.is_success] == []


def test_the_browser_may_load_only_files_of_the_service() -> None:
    [page] = ask(("GET", "/", None))

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert re.search(r"<script(?! src=)|style=|\son\w+=", page.text) is None


def test_names_with_markup_are_shown_as_text() -> None:
    rows = pd.DataFrame({"<img src=x>": [0.0, 1.0], 'quote" autofocus': [1.0, 0.0]})
    model = LogisticRegression().fit(rows, [0, 1])

    [page] = ask(("GET", "/", None), model=artifact(model, example=rows))

    assert "&lt;img src=x&gt;" in page.text
    assert "<img" not in page.text
    assert '" autofocus' not in page.text


def test_without_a_version_the_page_says_what_to_do() -> None:
    page = open_empty_page(lambda _: None)

    assert "No version serves" in page.text
    assert "manta train" in page.text
    assert "MLflow has no version of this model yet." in page.text
    assert 'id="row"' not in page.text


def test_while_mlflow_is_away_the_page_says_so() -> None:
    def stop(registry: FakeRegistry) -> None:
        registry.is_down = True

    page = open_empty_page(stop)

    assert page.status_code == 200
    assert "<strong>MLflow:</strong>" in page.text
    assert "the versions are unknown" in page.text


def test_the_versions_show_the_gate_and_offer_a_load() -> None:
    def fill(registry: FakeRegistry) -> None:
        verdict = {"gate": "failed", "gate.metric": "r2", "gate.challenger_score": "0.5", "gate.reason": "r2 is <low>."}
        registry.versions = [version(2, **verdict), version(1, **{"manta.rolled_back": "true"})]

    page = open_empty_page(fill)

    assert "gate failed" in page.text
    assert "r2 0.5000" in page.text
    assert "r2 is &lt;low&gt;." in page.text
    assert "rolled back" in page.text
    assert re.findall(r'data-act="load" data-version="(\d+)"', page.text) == ["2", "1"]


def test_the_json_route_lists_the_same_versions() -> None:
    def fill(registry: FakeRegistry) -> None:
        registry.versions = [version(2, gate="passed"), version(1)]

    answer = open_empty_page(fill, path="/model/versions").json()

    assert [(one["version"], one["gate"], one["description"]) for one in answer["versions"]] == [
        ("2", "passed", "text 2"),
        ("1", "", "text 1"),
    ]


TRAINING = RecentTraining(
    run_id="0a1b",
    experiment_id="7",
    name="calm-<owl>",
    state="FINISHED",
    started_ms=1_700_000_000_000,
    ended_ms=1_700_000_065_000,
    gate="failed",
    reason="r2 is <low>.",
    model="m",
    version="3",
    judgement="",
)


def fill_trainings(registry: FakeRegistry) -> None:
    running = replace(TRAINING, run_id="2c", state="RUNNING", ended_ms=None, gate="", reason="", model="", version="")
    registry.trainings.newest = [running, TRAINING]


def test_the_trainings_link_to_their_runs_with_the_sentence_of_the_gate() -> None:
    page = open_empty_page(fill_trainings).text

    assert re.findall(r'href="http://127.0.0.1:9/#/experiments/7/runs/(\w+)"', page) == ["2c", "0a1b"]
    assert "calm-&lt;owl&gt;" in page
    assert "r2 is &lt;low&gt;." in page
    assert '<span class="gate ">running</span>' in page
    assert "1 min 5 s" in page


def test_the_json_route_lists_the_same_trainings() -> None:
    answer = open_empty_page(fill_trainings, path="/model/trainings").json()

    shown = [(one["run_id"], one["state"], one["seconds"], one["version"]) for one in answer["trainings"]]
    assert shown == [("2c", "running", None, ""), ("0a1b", "finished", 65.0, "3")]


def test_the_panel_of_drift_links_to_the_training_that_the_last_decision_began() -> None:
    def fill(registry: FakeRegistry) -> None:
        registry.trainings.newest = [replace(TRAINING, judgement="j1"), replace(TRAINING, run_id="3d", judgement="j2")]

    decision = RetrainingDecision(text="retraining begins: why.", begins=True, run_id="j2", judged_ms=1)
    run = DriftRun(
        model=MODEL,
        version="3",
        metrics={},
        verdict="drift",
        run_id="j3",
        experiment_id="8",
        judged_ms=2,
        decision=decision,
    )

    page = open_empty_page(fill, judgements=[run]).text

    panel = page[page.index('id="drift"') : page.index('id="replicas"')]
    assert "retraining begins: why." in panel
    assert re.findall(r'href="[^"]*/runs/(\w+)"', panel) == ["j3", "3d"]


def test_the_form_compares_each_version_with_an_alias_once() -> None:
    def fill(registry: FakeRegistry) -> None:
        aliases = [("challenger", "previous"), ("mine",), ("shadow",)]
        numbers = enumerate(aliases, start=4)
        registry.versions = [replace(version(number), aliases=held) for number, held in numbers]

    page = open_empty_page(fill, path="/page/state").text

    roles = json.loads(html.unescape(re.findall(r'data-roles="([^"]*)"', page)[0]))
    assert roles == [["challenger, previous", "4"], ["shadow", "6"]]


def test_a_model_with_many_columns_has_one_field_for_the_row() -> None:
    names = [f"c{number}" for number in range(MAX_FIELDS + 1)]
    rows = pd.DataFrame(np.eye(2, len(names)), columns=names)

    [page] = ask(("GET", "/", None), model=artifact(LogisticRegression().fit(rows, [0, 1]), example=rows))

    assert "data-column" not in page.text
    assert f"each of the {len(names)} columns" in page.text


def test_a_page_of_guarded_predictions_asks_for_a_token_and_shows_no_example() -> None:
    [page] = ask(("GET", "/", None), access=GUARDED, token=False)

    assert 'id="predict-token"' in page.text
    assert str(replica_api.EXAMPLE["a"][0]) not in page.text


def test_the_page_draws_the_last_hour() -> None:
    row = {"features": replica_api.ROWS.to_numpy()[:1].tolist()}
    before, *_, after = ask(("GET", "/", None), ("POST", "/predict", row), ("GET", "/page/state", None))

    assert "No request in the last hour." in before.text
    assert re.findall(r'<title id="\w+-name">(\w+)</title>', after.text) == ["Requests", "Failed", "Latency"]
    assert "10 to 0 min ago" in after.text
    assert 'id="rollout"' not in after.text


def test_the_page_is_not_part_of_the_documented_api() -> None:
    [document] = ask(("GET", "/openapi.json", None))

    assert "/model/versions" in document.json()["paths"]
    assert [path for path in document.json()["paths"] if path == "/" or path.startswith("/page")] == []
