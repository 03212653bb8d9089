import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import MantaError, ModelNotFoundError
from tests.support.json_object import JsonObject
from tests.support.json_server import Answer, json_server

DAY_MS = 86_400_000


def version(number: int, **tags: str) -> JsonObject:
    """A version as MLflow's HTTP API gives it."""
    return {
        "version": str(number),
        "creation_timestamp": number * DAY_MS,
        "tags": [{"key": key.replace("__", "."), "value": value} for key, value in tags.items()],
    }


def promoted(number: int, **tags: str) -> JsonObject:
    return version(
        number,
        **{
            "gate": "passed",
            "manta__promote": "true",
            "manta__promoted_at": str(number * DAY_MS),
            "gate__metric": "r2",
            "gate__challenger_score": "0.51236",
        }
        | tags,
    )


@contextmanager
def platform(
    monkeypatch: pytest.MonkeyPatch, versions: list[JsonObject], champion: int, previous: int | None = None
) -> Iterator[list[JsonObject]]:
    """MLflow with these versions, and a service with two replicas. Yields the bodies of loads."""
    loads: list[JsonObject] = []
    aliases = {"champion": champion} | ({} if previous is None else {"previous": previous})
    model = {"aliases": [{"alias": alias, "version": str(number)} for alias, number in aliases.items()]}

    def load(body: JsonObject) -> JsonObject:
        loads.append(body)
        return {"model_info": {"name": "houses", "version": body["version"]}, "replicas": [{}, {}]}

    # MLflow gives the versions in pages.
    pages: list[JsonObject] = [
        {"model_versions": versions[:2], "next_page_token": "2"},
        {"model_versions": versions[2:]},
    ]
    routes: dict[str, Answer] = {
        "GET /api/2.0/mlflow/registered-models/get": lambda _: {"registered_model": model},
        "GET /api/2.0/mlflow/model-versions/search": lambda _: pages.pop(0),
        "GET /fastapi_app/model": lambda _: {
            "model_loaded": True,
            "model_info": {"name": "houses", "version": str(champion)},
            "replicas": [{"version": str(champion)}, {"version": str(champion)}],
        },
        "POST /fastapi_app/model/load": load,
    }
    with json_server(routes) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setenv("MANTA_MODEL_NAME", "houses")
        yield loads


def run(*arguments: str) -> str:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout


def test_models_lists_gate_metric_aliases_and_replicas_of_every_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [promoted(3, manta__rolled_back="true"), promoted(2), version(1)]
    monkeypatch.setenv("COLUMNS", "200")

    with platform(monkeypatch, versions, champion=2):
        lines = run("models").splitlines()

    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert cells == [
        ["3", "1970-01-04 00:00", "passed, rolled back", "r2 0.5124", "", ""],
        ["2", "1970-01-03 00:00", "passed", "r2 0.5124", "champion", "2 of 2 replicas"],
        ["1", "1970-01-02 00:00", "", "", "", ""],
    ]


def test_models_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    with platform(monkeypatch, [promoted(2), version(1)], champion=2):
        document = json.loads(run("models", "--json"))

    assert document["name"] == "houses"
    assert [(entry["number"], entry["aliases"], entry["replicas"]) for entry in document["versions"]] == [
        (2, ["champion"], 2),
        (1, [], 0),
    ]


def test_a_model_that_is_not_registered_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"})
    with json_server({"GET /api/2.0/mlflow/registered-models/get": lambda _: missing}) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)

        with pytest.raises(ModelNotFoundError, match=r"no registered model 'cats'.*manta train"):
            run("models", "--name", "cats")


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([promoted(5), promoted(4), promoted(3)], "4"),
        ([promoted(5), promoted(4, manta__rolled_back="true"), promoted(3)], "3"),
        ([promoted(5), version(4, gate="passed"), promoted(3)], "3"),
        ([promoted(5), promoted(4, gate="forced"), promoted(3)], "3"),
        ([promoted(6), promoted(5), promoted(4)], "4"),
    ],
    ids=[
        "the last one",
        "not one that was rolled back",
        "not one that never served",
        "not a forced one",
        "not a newer",
    ],
)
def test_a_rollback_loads_the_champion_before_this_one_that_qualified(
    monkeypatch: pytest.MonkeyPatch, versions: list[JsonObject], expected: str
) -> None:
    with platform(monkeypatch, versions, champion=5) as loads:
        output = run("rollback")

    assert loads == [{"version": expected}]
    assert output == f"houses: version 5 → version {expected} on 2 replica(s).\n"


@pytest.mark.parametrize(
    ("verdict", "previous", "expected"), [("promoted", 7, "7"), ("promoted", 3, "4"), ("aborted", 7, "4")]
)
def test_after_a_rollout_a_rollback_loads_the_champion_that_it_replaced(
    monkeypatch: pytest.MonkeyPatch, verdict: str, previous: int, expected: str
) -> None:
    champion = promoted(5, rollout__verdict=verdict, rollout__champion="7")

    with platform(monkeypatch, [version(7), champion, promoted(4), promoted(3)], 5, previous) as loads:
        run("rollback")

    assert loads == [{"version": expected}]


def test_a_rollback_to_a_version_needs_no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    with platform(monkeypatch, [], champion=5) as loads:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")

        output = run("rollback", "--to", "2")

    assert loads == [{"version": "2"}]
    assert "version 5 → version 2" in output


def test_a_rollback_without_an_earlier_champion_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        platform(monkeypatch, [promoted(5), version(4)], champion=5) as loads,
        pytest.raises(MantaError, match=r"No earlier version of 'houses' was the champion.*--to VERSION"),
    ):
        run("rollback")

    assert loads == []
