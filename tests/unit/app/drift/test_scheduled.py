"""The judgement of all champions, which a schedule starts."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersion
from typer.testing import CliRunner, Result

from app.command import single_command_app
from app.drift import job, scheduled
from app.drift.hand_over import Retraining
from app.drift.job import DriftResult
from app.drift.judge import Judgement
from app.drift.retraining import Decision, refuse
from app.errors import DataError, RegistryUnavailableError
from app.models.served_models import ServedModels
from app.settings import Settings
from app.training.options import TrainOptions


class Registry:
    """A registry with a default model `default` of version 3, and other models."""

    def __init__(self, others: dict[str, str | None], champion: str | None = "3") -> None:
        self.others = others
        self.version = champion

    def served_models(self, _: object) -> ServedModels:
        return ServedModels(dict(self.others), frozenset())

    def champion(self, name: str) -> ModelVersion | None:
        return None if self.version is None else ModelVersion(name=name, version=self.version, creation_timestamp=0)


def judge(
    monkeypatch: pytest.MonkeyPatch,
    registry: Registry,
    failures: dict[str, Exception] | None = None,
    *,
    hand_over: str = "",
    json_log: Path | None = None,
) -> tuple[Result, list[tuple[str, str | None]]]:
    judged: list[tuple[str, str | None]] = []

    def run(settings: Settings, *, version: str | None, period: timedelta, is_scheduled: bool) -> DriftResult:
        assert period == timedelta(days=2)
        assert is_scheduled is bool(hand_over)
        judged.append((settings.model_name, version))
        if failures and settings.model_name in failures:
            raise failures[settings.model_name]
        judgement = Judgement(verdict="no drift", rows=99, reasons=[], notes=[], columns=[])
        return DriftResult(
            model=settings.model_name, version=str(version), since=datetime.now(UTC), run_id="r", judgement=judgement
        )

    monkeypatch.setattr(job, "run", run)
    monkeypatch.setattr(scheduled, "Registry", lambda _: registry)
    monkeypatch.setattr(scheduled, "settings", lambda: Settings(model_name="default", json_log=json_log))
    argv = ["--since", "2d", *(["--hand-over", hand_over] if hand_over else [])]
    result = CliRunner().invoke(single_command_app(scheduled.judge_all), argv)
    return result, judged


def test_the_champion_of_every_served_model_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    result, judged = judge(monkeypatch, Registry({"boats": "7", "houses": None}))

    assert judged == [("boats", "7"), ("default", "3")]
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "boats version 7, the last 2d: no drift (99 rows)",
        "default version 3, the last 2d: no drift (99 rows)",
        "houses has no champion.",
    ]


def test_a_model_that_cannot_be_judged_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: dict[str, Exception] = {"boats": DataError("boats version 7 has no reference.")}

    result, judged = judge(monkeypatch, Registry({"boats": "7"}), failures)

    assert judged == [("boats", "7"), ("default", "3")]
    assert result.exit_code == 1
    assert "boats version 7 cannot be judged: boats version 7 has no reference." in result.output
    assert "default version 3, the last 2d: no drift" in result.output


def test_an_mlflow_that_is_away_ends_the_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    result, judged = judge(monkeypatch, Registry({"z": "1"}), {"default": RegistryUnavailableError("away")})

    assert judged == [("default", "3")]
    assert isinstance(result.exception, RegistryUnavailableError)


def test_a_service_without_a_champion_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    result, judged = judge(monkeypatch, Registry({}, champion=None))

    assert (result.exit_code, result.output, judged) == (0, "default has no champion.\n", [])


RETRAINING = Retraining(judgement="0123456789abcdef0123456789abcdef", options=TrainOptions(trees=7))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The models whose retraining was decided about, and whether another one begins. A retraining of `boats` is due."""
    calls: list[tuple[str, bool]] = []

    def begin(alarm: str, result: DriftResult, *_: object, is_busy: bool) -> tuple[Decision, Retraining | None]:
        assert alarm == "score"
        calls.append((result.model, is_busy))
        if result.model == "boats":
            return Decision(begins=True, reason="why."), RETRAINING
        return refuse("why not."), None

    monkeypatch.setattr(scheduled, "begin_if_due", begin)
    return calls


def test_a_judgement_of_the_schedule_hands_one_retraining_over(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, bool]]
) -> None:
    result, _ = judge(monkeypatch, Registry({"boats": "7"}), hand_over="manta-1")

    assert asked == [("boats", False), ("default", True)]
    assert result.output.splitlines()[2:] == [
        "boats version 7: retraining begins: why.",
        RETRAINING.to_line("manta-1"),
        "default version 3: no retraining: why not.",
    ]


def test_a_judgement_by_a_person_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, bool]]
) -> None:
    result, _ = judge(monkeypatch, Registry({"boats": "7"}))

    assert (result.exit_code, asked) == (0, [])


@pytest.mark.usefixtures("asked")
def test_each_decision_is_a_line_of_the_json_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "service.jsonl"
    file.write_text("{}\n")

    judge(monkeypatch, Registry({"boats": "7"}), hand_over="manta-1", json_log=file)

    lines = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    members = ("replica", "event", "model", "version", "begins", "judgement", "reason", "message")
    assert [tuple(line[member] for member in members) for line in lines] == [
        (
            "drift-schedule",
            "retraining_decided",
            "boats",
            "7",
            True,
            "r",
            "why.",
            "boats version 7: retraining begins: why.",
        ),
        (
            "drift-schedule",
            "retraining_decided",
            "default",
            "3",
            False,
            "r",
            "why not.",
            "default version 3: no retraining: why not.",
        ),
    ]


def test_a_champion_that_cannot_be_judged_does_not_keep_another_from_its_retraining(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, bool]]
) -> None:
    failures: dict[str, Exception] = {"default": DataError("no reference.")}

    result, _ = judge(monkeypatch, Registry({"boats": "7"}), failures, hand_over="manta-1")

    assert result.exit_code == 1
    assert asked == [("boats", False)]
    assert RETRAINING.to_line("manta-1") in result.output.splitlines()
