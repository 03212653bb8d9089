"""The scheduled judgements in MLflow. `tests/integration` reads those of a real MLflow."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace

import mlflow
import pytest
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from app.errors import ModelNotFoundError, RegistryUnavailableError
from app.records.scheduled_judgements import ScheduledJudgement, ScheduledJudgements
from app.settings import Settings


def run(tags: dict[str, str], **metrics: float) -> SimpleNamespace:
    return SimpleNamespace(data=SimpleNamespace(tags=tags, metrics=metrics))


class Client:
    """A client of MLflow with some runs, which records what it is asked."""

    def __init__(self, *runs: SimpleNamespace) -> None:
        self.runs = runs
        self.filters: list[str] = []
        self.written: list[tuple[str, dict[str, str]]] = []

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        assert name == "team-drift"
        return SimpleNamespace(experiment_id="1") if self.runs else None

    def search_runs(
        self, ids: list[str], *, filter_string: str, max_results: int, order_by: list[str]
    ) -> tuple[SimpleNamespace, ...]:
        assert (ids, order_by) == (["1"], ["attributes.start_time DESC"])
        self.filters.append(filter_string)
        return self.runs[:max_results]

    def get_model_version(self, name: str, version: str) -> SimpleNamespace:
        return SimpleNamespace(run_id=f"run of {name} {version}")

    def get_run(self, run_id: str) -> str:
        return run_id

    def log_batch(self, run_id: str, *, tags: list[RunTag]) -> None:
        self.written.append((run_id, {tag.key: tag.value for tag in tags}))


@pytest.fixture
def judgements(monkeypatch: pytest.MonkeyPatch) -> Callable[[Client], ScheduledJudgements]:
    def build(client: Client) -> ScheduledJudgements:
        monkeypatch.setattr(mlflow, "MlflowClient", lambda **_: client)
        return ScheduledJudgements(Settings(experiment="team", model_name="boats"))

    return build


def test_the_newest_scheduled_judgements_are_read(judgements: Callable[[Client], ScheduledJudgements]) -> None:
    client = Client(
        run({"drift.version": "4"}, score_fell=1, drift=1),
        run({"drift.version": "3"}, score_fell=0, drift=1),
        run({"drift.version": "3"}),
    )

    newest = judgements(client).newest(2)

    assert newest == [
        ScheduledJudgement(version="4", score_fell=True, has_drift=True),
        ScheduledJudgement(version="3", score_fell=False, has_drift=True),
    ]
    assert client.filters == [
        "tags.`drift.model` = 'boats' AND tags.`drift.scheduled` = 'true' AND attributes.status = 'FINISHED'"
    ]


def test_the_time_of_the_last_retraining_is_read(judgements: Callable[[Client], ScheduledJudgements]) -> None:
    client = Client(run({"retrain.began_ms": "1796040000000"}))

    assert judgements(client).last_retraining() == datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert client.filters == ["tags.`drift.model` = 'boats' AND tags.`retrain.began_ms` LIKE '%'"]


def test_without_an_experiment_there_is_neither(judgements: Callable[[Client], ScheduledJudgements]) -> None:
    empty = judgements(Client())

    assert (empty.newest(2), empty.last_retraining()) == ([], None)


def test_a_decision_and_the_beginning_are_written_at_once(judgements: Callable[[Client], ScheduledJudgements]) -> None:
    client = Client()

    judgements(client).record("r1", "no retraining: x", began=None)
    judgements(client).record("r2", "retraining begins: x", began=datetime(2026, 11, 30, 12, tzinfo=UTC))

    assert client.written == [
        ("r1", {"retrain.decision": "no retraining: x"}),
        ("r2", {"retrain.decision": "retraining begins: x", "retrain.began_ms": "1796040000000"}),
    ]


def test_the_run_that_trained_a_version_is_read(judgements: Callable[[Client], ScheduledJudgements]) -> None:
    assert str(judgements(Client()).training_run("3")) == "run of boats 3"


def test_a_version_without_a_run_is_an_error_that_names_the_version(
    judgements: Callable[[Client], ScheduledJudgements], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST)

    client = Client()
    monkeypatch.setattr(client, "get_run", fail)

    with pytest.raises(ModelNotFoundError, match="Version 3 of 'boats' or its run does not exist"):
        judgements(client).training_run("3")


def test_an_mlflow_that_does_not_answer_is_an_error(
    judgements: Callable[[Client], ScheduledJudgements], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MlflowException("away")

    client = Client(run({}))
    monkeypatch.setattr(client, "search_runs", fail)
    monkeypatch.setattr(client, "log_batch", fail)

    for ask in (
        lambda: judgements(client).newest(2),
        judgements(client).last_retraining,
        lambda: judgements(client).record("r", "x", began=None),
    ):
        with pytest.raises(RegistryUnavailableError, match="away"):
            ask()
