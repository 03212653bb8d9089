import json

import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import ParameterError
from tests.support.json_object import JsonObject
from tests.support.service_command import run_command

PATH = "/fastapi_app/model/shadow"
LATENCY: JsonObject = {"p50_ms": 0.1, "p95_ms": 0.2, "p99_ms": None}
FIGURES: JsonObject = {
    "champion": "6",
    "requests": 40,
    "rows": 41,
    "errors": 3,
    "last_error": "RuntimeError: broken",
    "dropped": 2,
    "agreement": 0.975,
    "labels": ["False", "True"],
    "confusion": [[20, 1], [0, 17]],
    "difference": {"mean": 0.01, "p50": 0.0, "p95": 0.1, "p99": 0.2, "max": 0.25},
    "latency": LATENCY,
    "champion_latency": LATENCY,
}
RUNNING: JsonObject = {
    "shadow": {"version": "7", "share": 20.0, "started_s": 1.0},
    "figures": FIGURES,
    "rows": [{"difference": 0.25, "row": [1, None], "champion": True, "shadow": False}],
    "replicas": 2,
    "replicas_ready": 2,
    "trouble": None,
}


@pytest.mark.parametrize(("options", "sent"), [((), {}), (("--share", "20"), {"share": 20.0})])
def test_a_version_begins_a_shadow(options: tuple[str, ...], sent: JsonObject, monkeypatch: pytest.MonkeyPatch) -> None:
    output, body = run_command(
        monkeypatch, f"POST {PATH}", RUNNING | {"figures": None, "rows": []}, "shadow", "7", *options
    )

    assert body == {"version": "7"} | sent
    assert output == (
        "version 7 answers copies of 20 % of the requests, 2 replicas hold it.\nIt has answered no request yet.\n"
    )


def test_without_a_version_the_command_compares_both(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING, "shadow")

    shown = ("97.50%", "max 0.25", "3 (RuntimeError: broken)", "40, 41", "p95 in ms", "17")
    assert all(text in output for text in shown)
    assert "differs by 0.25: True → False for [1, None]" in output


def test_a_regressor_has_no_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = FIGURES | {"agreement": None, "labels": [], "confusion": []}

    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING | {"figures": figures}, "shadow")

    assert "same class" not in output


def test_the_end_shows_the_last_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"DELETE {PATH}", RUNNING, "shadow", "--end")

    assert output.startswith("version 7 is no longer the shadow.\n")
    assert "97.50%" in output


def test_the_command_takes_the_name_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    route = "POST /fastapi_app/models/houses/shadow"

    output, body = run_command(monkeypatch, route, RUNNING, "shadow", "7", "--name", "houses")

    assert body == {"version": "7"}
    assert output.startswith("version 7 answers copies")


def test_without_a_shadow_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING | {"shadow": None, "figures": None}, "shadow")

    assert output == "There is no shadow.\n"


def test_json_is_the_answer_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING, "shadow", "--json")

    assert json.loads(output) == RUNNING


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("7", "--end"), "exclude each other"),
        (("--share", "5"), "--share needs a version"),
        (("--from-log", "7d"), "--from-log needs a version"),
        (("7", "--from-log", "7d", "--share", "5"), "--from-log excludes --share and --end"),
        (("7", "--from-log", "7d", "--end"), "--from-log excludes --share and --end"),
        (("7", "--log", "mlflow"), "--log needs --from-log"),
        (("7", "--from-log", "7"), "The period '7' cannot be used. .* --from-log 7d"),
        (("7", "--from-log", "7d", "--log", "ftp://x"), "The prediction log cannot be kept at 'ftp://x'"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CliRunner().invoke(cli, ["shadow", *arguments], catch_exceptions=False)
