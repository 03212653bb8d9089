import json

import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import ParameterError
from tests.support.json_object import JsonObject
from tests.support.service_command import run_command

PATH = "/fastapi_app/model/rollout"
STATE: JsonObject = {"version": "7", "champion": "6", "verdict": None, "reason": ""}
FIGURES: JsonObject = {"share": 5.0, "version": "7", "requests": 40, "rows": 41, "errors": 3, "slow": 2, "wrong": 0}
RUNNING: JsonObject = {
    "rollout": STATE,
    "share": 5.0,
    "figures": [FIGURES],
    "e_values": {"error": 0.5, "mean": 0.8},
    "limit": 20.0,
    "replicas_ready": 2,
    "trouble": None,
    "disagreement": None,
    "compared_rows": 0,
}
ENDED = RUNNING | {"rollout": STATE | {"verdict": "rolled back", "reason": "errors: 3 of 40 requests"}, "figures": []}


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ((), {}),
        (("--steps", "5, 50", "--min-rows", "9"), {"steps": [5.0, 50.0], "min_rows": 9}),
        (("--bake-seconds", "1800"), {"bake_seconds": 1800.0}),
        (("--max-disagreement", "0"), {"max_disagreement": 0.0}),
        (("--key", "X-User", "--timeout-seconds", "2"), {"key": "X-User", "timeout_seconds": 2.0}),
    ],
)
def test_start_sends_only_the_options_that_were_named(
    options: tuple[str, ...], sent: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, body = run_command(monkeypatch, f"POST {PATH}", RUNNING, "rollout", "start", "7", *options)

    assert body == {"version": "7"} | sent
    assert "version 7 against champion 6: 5 % of the requests, 2 replicas hold both." in output


@pytest.mark.parametrize(
    ("command", "route"),
    [
        (("start", "7"), "POST"),
        (("status",), "GET"),
        (("promote",), "POST /promote"),
        (("abort",), "DELETE"),
    ],
)
def test_the_commands_take_the_name_of_a_model(
    command: tuple[str, ...], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _, end = route.partition(" ")

    output, _ = run_command(
        monkeypatch,
        f"{method} /fastapi_app/models/houses/rollout{end}",
        RUNNING,
        "rollout",
        *command,
        "--name",
        "houses",
    )

    assert "version 7 against champion 6" in output


def test_hold_is_one_step_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    _, sent = run_command(
        monkeypatch, f"POST {PATH}", RUNNING, "rollout", "start", "7", "--hold", "50", "--min-seconds", "3600"
    )

    assert sent == {"version": "7", "steps": [50.0], "hold": True, "min_seconds": 3600.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--steps", "5,x"), "--steps is '5,x'"), (("--steps", "5", "--hold", "50"), "exclude each other")],
)
def test_options_that_make_no_sense_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CliRunner().invoke(cli, ["rollout", "start", "7", *arguments], catch_exceptions=False)


def test_status_shows_figures_and_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING, "rollout", "status")

    assert all(text in output for text in ("5 %", "40", "41", "mean 0.8", "goes back at a mean of 20"))


def test_status_shows_how_often_the_versions_disagree(monkeypatch: pytest.MonkeyPatch) -> None:
    policy: JsonObject = {"policy": {"max_disagreement": 5.0}}
    answer = RUNNING | {"rollout": STATE | policy, "disagreement": 7.25, "compared_rows": 1200}

    output, _ = run_command(monkeypatch, f"GET {PATH}", answer, "rollout", "status")

    assert "disagreement: 7.25 % of 1,200 rows (a step ends by itself at 5 % or less)" in output


def test_status_as_json_is_the_answer_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING, "rollout", "status", "--json")

    assert json.loads(output) == RUNNING


@pytest.mark.parametrize(("command", "route"), [("promote", f"POST {PATH}/promote"), ("abort", f"DELETE {PATH}")])
def test_a_command_that_ends_a_rollout_shows_the_verdict(
    command: str, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = run_command(monkeypatch, route, ENDED, "rollout", command)

    assert output == "version 7 against champion 6: rolled back. errors: 3 of 40 requests\n"


def test_without_a_rollout_the_status_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    output, _ = run_command(monkeypatch, f"GET {PATH}", RUNNING | {"rollout": None}, "rollout", "status")

    assert output == "There was no rollout yet.\n"
