"""The newest judgement of each version. `tests/integration/serving` reads the runs of a real MLflow."""

from types import SimpleNamespace

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from app.errors import RegistryUnavailableError
from app.records.drift_runs import DriftRun, RetrainingDecision, read_newest
from app.settings import Settings


def decided(time_ms: int, decision: str, **tags: str) -> SimpleNamespace:
    """A scheduled judgement about version 2 of the model `a` with a decision about retraining."""
    found = run("a", "2", drift=1.0)
    found.data.tags |= {"retrain.decision": decision} | tags
    found.info.start_time = time_ms
    return found


def run(model: str, version: str, verdict: str = "drift", **metrics: float) -> SimpleNamespace:
    tags = {"drift.model": model, "drift.version": version, "drift.verdict": verdict}
    info = SimpleNamespace(run_id=f"run of {model}", experiment_id="1", start_time=5)
    return SimpleNamespace(data=SimpleNamespace(tags=tags, metrics=metrics), info=info)


def judgement(model: str, version: str, verdict: str = "drift", **metrics: float) -> DriftRun:
    return DriftRun(
        model=model,
        version=version,
        metrics=metrics,
        verdict=verdict,
        run_id=f"run of {model}",
        experiment_id="1",
        judged_ms=5,
    )


class Client:
    """A client of MLflow with the runs of one experiment, the newest first."""

    def __init__(self, *runs: SimpleNamespace) -> None:
        self.runs = runs
        self.experiment = ""

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        self.experiment = name
        return SimpleNamespace(experiment_id="1") if self.runs else None

    def search_runs(self, _: list[str], **options: object) -> tuple[SimpleNamespace, ...]:
        assert options["order_by"] == ["attributes.start_time DESC"]
        return self.runs


def read(monkeypatch: pytest.MonkeyPatch, client: Client) -> list[DriftRun]:
    monkeypatch.setattr(mlflow, "MlflowClient", lambda **_: client)
    return read_newest(Settings(experiment="team"))


def test_the_newest_judgement_of_each_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(
        run("a", "2", drift=0.0), run("b", "1", drift=1.0), run("a", "1", drift=1.0), run("a", "2", drift=1.0)
    )

    assert read(monkeypatch, client) == [
        judgement("a", "2", drift=0.0),
        judgement("b", "1", drift=1.0),
        judgement("a", "1", drift=1.0),
    ]
    assert client.experiment == "team-drift"


def test_a_judgement_of_too_few_rows_has_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(run("a", "2", "not enough rows", drift=0.0, rows=3.0), run("a", "2", drift=1.0))

    assert read(monkeypatch, client) == [judgement("a", "2", "not enough rows")]


def test_the_newest_decision_about_a_version_counts_although_a_later_judgement_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = decided(3, "retraining begins: x", **{"retrain.began_ms": "4"})
    client = Client(run("a", "2", drift=0.0), run("a", "1", drift=1.0), begun, decided(2, "no retraining: y"))

    newest, other = read(monkeypatch, client)

    assert newest.judged_ms == 5
    assert newest.decision == RetrainingDecision(
        text="retraining begins: x", begins=True, run_id="run of a", judged_ms=3
    )
    assert other.decision is None


def test_a_run_of_somebody_else_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SimpleNamespace(data=SimpleNamespace(tags={}, metrics={"drift": 1.0}))

    assert read(monkeypatch, Client(other)) == []


def test_without_an_experiment_there_is_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, Client()) == []


def test_an_mlflow_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> tuple[SimpleNamespace, ...]:
        raise MlflowException("away")

    client = Client(run("a", "1"))
    monkeypatch.setattr(client, "search_runs", lambda *_, **options: fail(**options))

    with pytest.raises(RegistryUnavailableError, match="failed to answer: away"):
        read(monkeypatch, client)
