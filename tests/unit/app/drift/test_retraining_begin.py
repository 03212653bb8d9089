"""What happens in MLflow when a scheduled judgement is decided about."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Literal, cast

import pytest
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from app.drift import retraining_begin
from app.drift.hand_over import Retraining
from app.drift.job import DriftResult
from app.drift.judge import Judgement
from app.drift.retraining import Decision
from app.errors import ModelNotFoundError, RegistryUnavailableError
from app.models.registry import Registry
from app.records.scheduled_judgements import ScheduledJudgement
from app.settings import Settings
from app.training.options import TrainOptions

JUDGEMENT_RUN = "0123456789abcdef0123456789abcdef"
RESULT = DriftResult(
    model="boats",
    version="3",
    since=datetime.now(UTC),
    run_id=JUDGEMENT_RUN,
    judgement=Judgement(verdict="drift", rows=99, reasons=["x"], notes=[], columns=[]),
)
FELL = ScheduledJudgement(version="3", score_fell=True, has_drift=True)


class Judgements:
    """The scheduled judgements about the model `boats`, and the run `r3` that trained its version 3."""

    def __init__(
        self,
        *judgements: ScheduledJudgement,
        arguments: str = "",
        has_run: bool = True,
        last_retraining: datetime | None = None,
    ) -> None:
        self.judgements = list(judgements)
        self.arguments = arguments
        self.has_run = has_run
        self.last = last_retraining
        self.model = ""
        self.recorded: list[tuple[str, str, bool]] = []

    def newest(self, count: int) -> list[ScheduledJudgement]:
        return self.judgements[:count]

    def last_retraining(self) -> datetime | None:
        return self.last

    def training_run(self, version: str) -> Run:
        assert version == "3"
        if not self.has_run:
            raise ModelNotFoundError("Version 3 of 'boats' or its run does not exist.")
        data = SimpleNamespace(tags={"train.arguments": self.arguments}, params={"dataset": "wine"})
        return cast("Run", SimpleNamespace(info=SimpleNamespace(run_id="r3"), data=data))

    def record(self, run_id: str, decision: str, *, began: datetime | None) -> None:
        self.recorded.append((run_id, decision, began is not None))


class FakeRegistry:
    """A registry with the model `boats`, which may have a challenger."""

    def __init__(self, challenger: str | None = None, held_out: str = "") -> None:
        self.challenger = challenger
        self.held_out = held_out

    def tags(self, version: ModelVersion) -> dict[str, str]:
        assert version.version == "3"
        return {"data.held_out": self.held_out} if self.held_out else {}

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        assert name == "boats"
        if version is not None:
            return ModelVersion(name=name, version=version, creation_timestamp=0)
        assert alias == "challenger"
        if self.challenger is None:
            raise ModelNotFoundError("no alias")
        return ModelVersion(name=name, version=self.challenger, creation_timestamp=0)


def begin(
    monkeypatch: pytest.MonkeyPatch,
    registry: FakeRegistry,
    judgements: Judgements,
    *,
    alarm: Literal["score", "never"] = "score",
    is_busy: bool = False,
) -> tuple[Decision, Retraining | None]:
    def build(settings: Settings) -> Judgements:
        judgements.model = settings.model_name
        return judgements

    monkeypatch.setattr(retraining_begin, "ScheduledJudgements", build)
    settings = Settings(model_name="default")
    return retraining_begin.begin_if_due(alarm, RESULT, settings, cast("Registry", registry), is_busy=is_busy)


def test_a_retraining_that_is_due_is_recorded_and_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    judgements = Judgements(FELL, FELL, arguments="--trees 7 --force")

    decision, retraining = begin(monkeypatch, FakeRegistry(), judgements)

    assert retraining == Retraining(
        judgement=JUDGEMENT_RUN, options=TrainOptions(dataset="wine", trees=7, name="boats", add_log="30d")
    )
    assert decision.reason.endswith("in succession. The data is wine and the labelled rows of the last 30d.")
    assert judgements.model == "boats"
    assert judgements.recorded == [(JUDGEMENT_RUN, str(decision), True)]
    assert decision.begins


def test_a_champion_of_ordered_data_is_trained_on_the_later_rows_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = FakeRegistry(held_out="rows after 2026-11-01T00:00:00.000000 in column day")
    judgements = Judgements(FELL, FELL, arguments="--data s3://b/a.csv --target y --time day")

    decision, retraining = begin(monkeypatch, registry, judgements)

    assert retraining is not None
    assert (retraining.options.time, retraining.options.add_log) == ("day", "30d")
    assert decision.reason.endswith("The data is s3://b/a.csv and the labelled rows of the last 30d that are later.")


@pytest.mark.parametrize(
    ("registry", "judgements", "reason"),
    [
        (FakeRegistry(), Judgements(FELL), "but not in the one before"),
        (FakeRegistry(), Judgements(FELL, FELL, last_retraining=datetime.now(UTC)), "but a retraining began at"),
        (FakeRegistry(challenger="4"), Judgements(FELL, FELL), "a rollout of version 4 runs"),
        (FakeRegistry(), Judgements(FELL, FELL, arguments="--data a.csv --target b"), "a.csv was uploaded for one job"),
        (FakeRegistry(), Judgements(FELL, FELL, has_run=False), "Version 3 of 'boats' or its run does not exist."),
    ],
)
def test_a_retraining_that_cannot_begin_is_recorded_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, registry: FakeRegistry, judgements: Judgements, reason: str
) -> None:
    decision, retraining = begin(monkeypatch, registry, judgements)

    assert retraining is None
    assert str(decision).startswith("no retraining: ")
    assert reason in decision.reason
    assert judgements.recorded == [(JUDGEMENT_RUN, str(decision), False)]


def test_while_another_retraining_begins_this_one_waits_for_the_next_judgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judgements = Judgements(FELL, FELL, last_retraining=datetime.now(UTC) - timedelta(hours=25))

    decision, retraining = begin(monkeypatch, FakeRegistry(), judgements, is_busy=True)

    assert retraining is None
    assert "the retraining of another model begins first" in decision.reason
    assert judgements.recorded == [(JUDGEMENT_RUN, str(decision), False)]


def test_never_is_recorded_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    judgements = Judgements(FELL, FELL)

    decision, retraining = begin(monkeypatch, FakeRegistry(), judgements, alarm="never")

    assert retraining is None
    assert str(decision) == "no retraining: retrainOn is never."
    assert judgements.recorded == [(JUDGEMENT_RUN, str(decision), False)]


def test_without_a_record_in_mlflow_no_retraining_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RegistryUnavailableError("away")

    judgements = Judgements(FELL, FELL)
    monkeypatch.setattr(judgements, "record", fail)

    with pytest.raises(RegistryUnavailableError, match="away"):
        begin(monkeypatch, FakeRegistry(), judgements)
