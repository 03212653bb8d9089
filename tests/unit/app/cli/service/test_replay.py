"""What `manta shadow --from-log` prints."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.endpoints import Endpoints
from app.cli.main import cli
from app.cli.state import STATE_FOLDER
from app.errors import ModelNotFoundError
from app.replay import job
from app.replay.result import Replay
from app.replay.score import ReplayScore
from app.serving.shadow.messages import Differences, DifferentRow, ShadowFigures
from app.settings import Settings
from app.training.evaluation.intervals import Interval
from tests.support.json_object import JsonObject

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FIGURES = ShadowFigures(
    champion="6, 5",
    requests=40,
    rows=41,
    errors=3,
    last_error="ValueError: unknown category",
    dropped=0,
    agreement=0.975,
    labels=["no", "yes"],
    confusion=[[20, 1], [0, 20]],
    difference=Differences(mean=0.01, p50=0.0, p95=0.1, p99=0.2, max=0.25),
    latency=job.NO_LATENCY,
    champion_latency=job.NO_LATENCY,
)
REPLAY = Replay(
    model="houses",
    version="7",
    since=NOW - timedelta(days=7),
    until=NOW,
    logged_rows=100,
    answered_by={"6": 30, "5": 14},
    columns=["size"],
    figures=FIGURES,
    rows=[DifferentRow(difference=0.25, row=[1, None], champion="yes", shadow="no")],
    score=ReplayScore(
        metric="accuracy",
        rows=20,
        score=Interval(value=0.9, low=0.8, high=1.0),
        answered=Interval(value=0.7, low=0.6, high=0.8),
        improvement=Interval(value=0.2, low=0.1, high=0.3),
    ),
    notes=["Version 7 itself answered nothing."],
)


class Job:
    """Stands in for `app.replay.job`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, has_run: bool = True) -> None:
        self.settings = Settings()
        self.arguments: tuple[str, timedelta] | None = None
        self.has_run = has_run
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        monkeypatch.setattr(job, "run", self.run)
        monkeypatch.setattr(job, "write", self.write)

    def run(self, settings: Settings, *, version: str, period: timedelta) -> Replay:
        self.settings, self.arguments = settings, (version, period)
        return REPLAY

    def write(self, replay: Replay, settings: Settings) -> None:
        assert (replay, settings) == (REPLAY, self.settings)
        if not self.has_run:
            raise ModelNotFoundError("Version 7 of 'houses' has no run in MLflow.")


def shadow(*options: str) -> Result:
    arguments = ["shadow", "7", "--from-log", "7d", *options]
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "200"})


def test_the_log_of_the_model_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = Job(monkeypatch)

    shadow("--name", "houses", "--log", "s3://bucket/folder")

    assert replayed.arguments == ("7", timedelta(days=7))
    assert (replayed.settings.model_name, replayed.settings.prediction_log) == ("houses", "s3://bucket/folder")


@pytest.mark.parametrize(
    ("of_platform", "of_environment", "is_shown"),
    [(True, "true", True), (False, "true", False), (True, "false", False)],
)
def test_rows_are_shown_if_neither_the_platform_nor_the_environment_hides_them(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    of_platform: bool,  # noqa: FBT001 - pytest passes it by name
    of_environment: str,
    is_shown: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    replayed = Job(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MANTA_SHOW_EXAMPLES", of_environment)
    STATE_FOLDER.mkdir()
    Endpoints(show_examples=of_platform).write(STATE_FOLDER)

    shadow()

    assert replayed.settings.show_examples is is_shown


def test_the_figures_are_printed_as_those_of_a_shadow(monkeypatch: pytest.MonkeyPatch) -> None:
    Job(monkeypatch)

    output = shadow().stdout

    lines = output.splitlines()
    assert lines[0] == (
        "houses version 7 answered 41 of 100 logged rows of the last 7d. Versions that answered then: 6 (30 rows), "
        "5 (14 rows)."
    )
    shown = ("answered then", "version 7", "97.50%", "max 0.25", "3 (ValueError: unknown category)", "40, 41")
    assert all(text in output for text in shown)
    assert "p95 in ms" not in output
    assert lines[-7:] == [
        "differs by 0.25: yes → no for [1, None]",
        "accuracy on 20 rows with labels",
        "  version 7: 0.9000 [0.8000, 1.0000]",
        "  answered then: 0.7000 [0.6000, 0.8000]",
        "  improvement: +0.2000 [+0.1000, +0.3000]",
        "note: Version 7 itself answered nothing.",
        "The comparison is in the MLflow run of version 7, in the folder replay/20261129T120000Z.",
    ]


def test_json_holds_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    Job(monkeypatch)

    printed: JsonObject = json.loads(shadow("--json").stdout)

    assert printed["figures"] == FIGURES.model_dump()
    assert printed["rows"] == [{"difference": 0.25, "row": [1, None], "champion": "yes", "shadow": "no"}]
    assert printed["answered_by"] == {"6": 30, "5": 14}
    assert printed["score"]["improvement"] == {"value": 0.2, "low": 0.1, "high": 0.3}
    assert (printed["since"], printed["trouble"]) == ("2026-11-22T12:00:00+00:00", None)


def test_a_version_without_a_run_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    Job(monkeypatch, has_run=False)

    result = shadow()

    assert result.exit_code == 0
    assert "97.50%" in result.stdout
    assert "The comparison is in" not in result.stdout
    assert result.stderr == "warning: The figures are not in MLflow: Version 7 of 'houses' has no run in MLflow.\n"
