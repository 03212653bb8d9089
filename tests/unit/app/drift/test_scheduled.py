"""The judgement of all champions, which a schedule starts."""

from datetime import UTC, datetime, timedelta

import pytest
from mlflow.entities.model_registry import ModelVersion
from typer.testing import CliRunner, Result

from app.command import single_command_app
from app.drift import job, scheduled
from app.drift.job import DriftResult
from app.drift.judge import Judgement
from app.errors import DataError, RegistryUnavailableError
from app.models.served_models import ServedModels
from app.settings import Settings


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
    monkeypatch: pytest.MonkeyPatch, registry: Registry, failures: dict[str, Exception] | None = None
) -> tuple[Result, list[tuple[str, str | None]]]:
    judged: list[tuple[str, str | None]] = []

    def run(settings: Settings, *, version: str | None, period: timedelta) -> DriftResult:
        assert period == timedelta(days=2)
        judged.append((settings.model_name, version))
        if failures and settings.model_name in failures:
            raise failures[settings.model_name]
        judgement = Judgement(verdict="no drift", rows=99, reasons=[], notes=[], columns=[])
        return DriftResult(
            model=settings.model_name, version=str(version), since=datetime.now(UTC), run_id="r", judgement=judgement
        )

    monkeypatch.setattr(job, "run", run)
    monkeypatch.setattr(scheduled, "Registry", lambda _: registry)
    monkeypatch.setattr(scheduled, "settings", lambda: Settings(model_name="default"))
    result = CliRunner().invoke(single_command_app(scheduled.judge_all), ["--since", "2d"])
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
