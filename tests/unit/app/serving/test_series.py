"""How many series a replica exports: the bound of docs/how-to/monitor-with-prometheus.md."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from app.models.predictor import compile_model
from app.records import drift_runs
from app.records.drift_runs import DriftRun
from app.serving import metrics
from app.serving.drift_gauges import GAUGES, DriftGauges
from app.serving.measures.answer_bins import MAX_CLASSES
from app.serving.measures.exporter import MAX_SERIES_GROUPS, MeasuresExporter
from app.serving.measures.measures import CHALLENGER, CHAMPION, PINNED, SHADOW, Measures
from app.serving.measures.tally import Answered
from app.serving.metrics import LogMetrics, ReplicaMetrics
from tests.support.fake_models import served_model
from tests.support.program import PROJECT
from tests.support.replica_api import ROWS, artifact

PAGE = PROJECT / "docs" / "how-to" / "monitor-with-prometheus.md"
CLASSES = MAX_CLASSES + 10
LABELS = np.arange(len(ROWS)) % CLASSES
PREDICTOR = compile_model(artifact(DecisionTreeClassifier(random_state=0).fit(ROWS, LABELS)), label="m")

MODELS = 50
ROLES = (CHAMPION, CHALLENGER, SHADOW)


class Ray:
    """Stands for Ray's exporter: keeps which series exist."""

    def __init__(self) -> None:
        self.series: set[tuple[str, ...]] = set()

    def create(self, name: str, *, description: str, tag_keys: tuple[str, ...] = ()) -> "Metric":
        assert description
        return Metric(self, name, tag_keys)

    def count(self, prefix: str = "") -> int:
        return sum(name.startswith(prefix) for name, *_ in self.series)


class Metric:
    """Stands for a counter or a gauge of Ray."""

    def __init__(self, ray: Ray, name: str, tag_keys: tuple[str, ...]) -> None:
        self.ray, self.name, self.tag_keys = ray, name, tag_keys

    def inc(self, value: float, tags: Mapping[str, str]) -> None:
        assert value > 0
        self.set(value, tags)

    def set(self, value: float, tags: Mapping[str, str]) -> None:
        assert value >= 0
        self.ray.series.add((self.name, *(tags[key] for key in self.tag_keys)))


class BusyReplica:
    """Exports as a replica does whose requests end in every way that there is."""

    def __init__(self) -> None:
        self.ray = Ray()
        self._judged: list[DriftRun] = []
        self._measures = Measures()
        self._replica = ReplicaMetrics(counter=self.ray.create, gauge=self.ray.create)
        self._log = LogMetrics(counter=self.ray.create)
        self._exporter = MeasuresExporter(self._measures, counter=self.ray.create, gauge=self.ray.create)
        # `drift_runs.read_newest` reads at most `MAX_RUNS` judgements.
        self._drift = DriftGauges(
            lambda: self._judged[: drift_runs.MAX_RUNS],
            lambda: {run.model: run.version for run in self._judged},
            gauge=self.ray.create,
        )

    def answer(self, model: str, role: str) -> None:
        """Answer with every class, and fail in every way."""
        tally = self._measures.tally(replace(served_model("1", name=model), predictor=PREDICTOR), role)
        assert tally.bins is not None
        tally.add(Answered(CLASSES, 0.001, tally.bins.count(np.arange(CLASSES))))
        tally.add_error(is_of_client=True)
        tally.add_error(is_of_client=False)
        self._exporter.flush()

    def judge(self, model: str) -> None:
        """Find that the requests of a champion drifted and that its score fell."""
        self._judged.append(
            DriftRun(
                model=model,
                version="1",
                metrics=dict.fromkeys(GAUGES, 1.0),
                verdict=drift_runs.DRIFT,
                run_id="r",
                experiment_id="1",
                judged_ms=0,
            )
        )
        asyncio.run(self._drift.read())
        self._drift.export()

    def refuse(self, version: str) -> None:
        """Refuse a version."""
        self._replica.record_refusal(version)

    def serve_default_model(self) -> None:
        """Serve a version of the default model, and write to the prediction log."""
        self._replica.record_swap("1")
        self._replica.record_reading(registry_answers=True, champion="1", served="1")
        self._log.record_written(1)
        self._log.record_dropped(1)


def documented() -> dict[str, int]:
    """The bounds in the table of the page, by the first column."""
    rows = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name.strip(): int(number.replace(",", "")) for name, number in rows}


@pytest.fixture(scope="module")
def replica() -> BusyReplica:
    """A replica that exports every series that it can."""
    replica = BusyReplica()
    for number in range(MODELS):
        for role in ROLES:
            replica.answer(f"model-{number}", role)
        replica.judge(f"model-{number}")
    replica.answer("model-0", PINNED)
    for version in range(2 * metrics.MAX_REFUSED_VERSIONS):
        replica.refuse(str(version))
    replica.serve_default_model()
    return replica


def test_a_replica_with_fifty_models_in_three_roles_exports_the_documented_number_of_series(
    replica: BusyReplica,
) -> None:
    bounds = documented()

    total = bounds.pop("all series of a replica")
    assert replica.ray.count() == total == sum(bounds.values())


def test_one_version_in_one_role_exports_the_documented_number_of_series() -> None:
    replica = BusyReplica()

    replica.answer("model-0", CHALLENGER)

    assert replica.ray.count("manta_prediction_answers") == MAX_CLASSES + 1
    assert f"up to {replica.ray.count()} series" in PAGE.read_text()
    assert documented()["50 combinations of model, version and role"] == MAX_SERIES_GROUPS * replica.ray.count()


def test_a_further_model_and_a_further_refused_version_add_no_series(replica: BusyReplica) -> None:
    before = set(replica.ray.series)

    for role in (*ROLES, PINNED):
        replica.answer("model-51", role)
    replica.judge("model-51")
    replica.refuse("999")

    assert replica.ray.series == before
