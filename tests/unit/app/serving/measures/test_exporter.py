import weakref
from collections import Counter

import numpy as np
import pytest

from app.serving.measures import exporter
from app.serving.measures.exporter import MeasuresExporter
from app.serving.measures.measures import MAX_TALLIES, Measures
from app.serving.measures.tally import NO_VERSION, Answered
from tests.support.fake_models import served_model

Series = dict[tuple[str, str, str], float]


class Recorder:
    """Stands for a metric of Ray."""

    series: Series = {}  # noqa: RUF012 - each test sets its own

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        self.name, self.tag_keys = name, tag_keys

    def inc(self, value: float, tags: dict[str, str]) -> None:
        key = self._key(tags)
        self.series[key] = self.series.get(key, 0) + value

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.series[self._key(tags)] = value

    def _key(self, tags: dict[str, str]) -> tuple[str, str, str]:
        assert tags.keys() == set(self.tag_keys)
        rest = [value for key, value in tags.items() if key not in {"model", "version", "role"}]
        return self.name, tags["version"], "".join(rest)


@pytest.fixture
def series(monkeypatch: pytest.MonkeyPatch) -> Series:
    monkeypatch.setattr(Recorder, "series", {})
    return Recorder.series


def test_a_flush_exports_what_was_counted_since_the_last_one(series: Series) -> None:
    measures = Measures()
    export = MeasuresExporter(measures, counter=Recorder, gauge=Recorder)
    tally = measures.tally(served_model("7"), "champion")

    for _ in range(3):
        tally.add(Answered(2, 0.001, np.zeros(tally.bins.size, dtype=np.int64) if tally.bins else None))
        export.flush()
    measures.unserved("m", "champion").add_error(is_of_client=False)
    export.flush()

    assert series["manta_predictions", "7", "answered"] == 3
    assert series["manta_prediction_rows", "7", ""] == 6
    assert series["manta_prediction_seconds_bucket", "7", "0.000256"] == 0
    assert series["manta_prediction_seconds_bucket", "7", "0.001024"] == 3
    assert (
        series["manta_prediction_seconds_bucket", "7", "+Inf"] == series["manta_prediction_seconds_count", "7", ""] == 3
    )
    assert series["manta_predictions", NO_VERSION, "error"] == 1


def test_series_are_bounded_however_many_versions_a_replica_serves(series: Series) -> None:
    measures = Measures()
    export = MeasuresExporter(measures, counter=Recorder, gauge=Recorder)

    for number in range(2 * MAX_TALLIES):
        measures.tally(served_model(str(number)), "pinned").add(Answered(1, 0.001, None))
        export.flush()

    versions = Counter(version for name, version, _ in series if name == "manta_predictions")
    assert len(versions) == exporter.MAX_SERIES_GROUPS + 1
    assert series["manta_predictions", "other", "answered"] == 2 * MAX_TALLIES - exporter.MAX_SERIES_GROUPS
    assert len(list(measures.all())) == MAX_TALLIES


def test_the_latencies_are_exported_again_while_no_request_comes_because_ray_forgets_them(series: Series) -> None:
    measures = Measures()
    export = MeasuresExporter(measures, counter=Recorder, gauge=Recorder)
    measures.tally(served_model("7"), "champion").add(Answered(1, 0.001, None))
    export.flush()
    series.clear()

    for _ in range(exporter.FLUSHES_OF_REFRESH):
        export.flush()

    assert series["manta_prediction_seconds_count", "7", ""] == 1
    assert series["manta_prediction_seconds_sum", "7", ""] == 0.001
    assert series["manta_prediction_seconds_bucket", "7", "+Inf"] == 1
    assert {name for name, *_ in series} == {f"manta_prediction_seconds_{part}" for part in ("bucket", "count", "sum")}


def test_measures_keep_no_version_in_memory() -> None:
    measures = Measures()
    served = served_model("7")
    is_gone = weakref.ref(served)

    tally = measures.tally(served, "champion")
    assert measures.tally(served, "champion") is tally
    del served

    assert is_gone() is None
    assert measures.tally(served_model("7"), "champion") is tally
    assert measures.tally(served_model("7"), "challenger") is not tally
