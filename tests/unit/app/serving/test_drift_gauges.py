"""The judgements of `manta drift` as gauges of a replica."""

import asyncio

import pytest

from app.records.drift_runs import DriftRun
from app.serving.drift_gauges import GAUGES, DriftGauges

JUDGED = {"drift": 1.0, "score_fell": 0.0, "estimated_score": 0.9, "auc": 0.7}


class Gauges:
    """Keeps what was set, by the name of the gauge, the model and the version."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str, str], float] = {}

    def create(self, name: str, *, description: str, tag_keys: tuple[str, ...]) -> "Gauge":
        assert description
        assert tag_keys == ("model", "version")
        return Gauge(self, name)


class Gauge:
    def __init__(self, gauges: Gauges, name: str) -> None:
        self.gauges = gauges
        self.name = name

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.gauges.values[self.name, tags["model"], tags["version"]] = value


def run(version: str = "7", metrics: dict[str, float] = JUDGED) -> DriftRun:
    return DriftRun(
        model="houses",
        version=version,
        metrics=metrics,
        verdict="drift",
        run_id="r",
        experiment_id="1",
        judged_ms=0,
    )


def export(*runs: DriftRun, champions: dict[str, str | None] | None = None) -> dict[tuple[str, str, str], float]:
    gauges = Gauges()
    exporter = DriftGauges(lambda: runs, lambda: champions or {"houses": "7"}, gauge=gauges.create)
    asyncio.run(exporter.read())
    exporter.export()
    return gauges.values


def test_the_judgement_of_a_champion_has_a_gauge_for_each_number_that_it_has() -> None:
    assert export(run()) == {
        ("manta_drift", "houses", "7"): 1.0,
        ("manta_score_fell", "houses", "7"): 0.0,
        ("manta_estimated_score", "houses", "7"): 0.9,
    }


def test_a_later_judgement_of_another_version_hides_nothing() -> None:
    assert export(run("8"), run("7")) == export(run("7"))


@pytest.mark.parametrize(
    ("judged", "champions"),
    [
        (run("6"), {"houses": "7"}),
        (run(), {"houses": None}),
        (run(), {"boats": "7"}),
        (run(metrics={}), {"houses": "7"}),
    ],
    ids=["another version", "no champion", "another model", "not enough rows"],
)
def test_what_does_not_judge_a_champion_has_no_gauge(judged: DriftRun, champions: dict[str, str | None]) -> None:
    assert export(judged, champions=champions) == {}


def test_a_failed_read_keeps_the_last_judgements_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    gauges, answers = Gauges(), [[run()]]

    def read() -> list[DriftRun]:
        if not answers:
            raise OSError("MLflow is away")
        return answers.pop()

    exporter = DriftGauges(read, lambda: {"houses": "7"}, gauge=gauges.create)

    for _ in range(3):
        asyncio.run(exporter.read())
    exporter.export()

    assert gauges.values["manta_drift", "houses", "7"] == 1.0
    assert caplog.text.count("cannot be read: MLflow is away") == 1


def test_the_gauges_are_set_more_often_than_ray_forgets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gauges, pauses = Gauges(), list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        gauges.values.clear()
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("app.serving.drift_gauges.asyncio.sleep", sleep)
    reads = list[int]()

    def read() -> list[DriftRun]:
        reads.append(len(reads))
        return [run()]

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(DriftGauges(read, lambda: {"houses": "7"}, gauge=gauges.create).run_forever())

    assert max(pauses) < 20
    assert reads == [0]
    assert len(GAUGES) == 4
