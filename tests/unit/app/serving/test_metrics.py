import pytest

from app.serving.metrics import ReplicaMetrics

Values = dict[str, float]


class Recorder:
    """Stands for a metric of Ray."""

    values: Values = {}  # noqa: RUF012 - each test sets its own

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...] = ()) -> None:
        assert description
        self._name, self._tag_keys = name, tag_keys

    def inc(self, value: float, tags: dict[str, str]) -> None:
        self.set(self.values.get(self._name, 0) + value, tags)

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert tags.keys() == set(self._tag_keys)
        self.values[self._name] = value


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> Values:
    monkeypatch.setattr(Recorder, "values", {})
    return Recorder.values


@pytest.fixture
def metrics(values: Values) -> ReplicaMetrics:
    assert values == {}
    return ReplicaMetrics(counter=Recorder, gauge=Recorder)


def test_a_swap_and_a_refusal_are_counted(metrics: ReplicaMetrics, values: Values) -> None:
    for version in ("6", "7"):
        metrics.record_swap(version)
    metrics.record_refusal("8")

    assert values == {"manta_served_version": 7, "manta_swaps": 2, "manta_refused_versions": 1}


def test_a_reading_says_whether_mlflow_answers_and_whether_the_champion_is_served(
    metrics: ReplicaMetrics, values: Values
) -> None:
    seen = []
    for champion, served in (("7", "7"), ("8", "7"), ("8", None)):
        metrics.record_reading(registry_answers=True, champion=champion, served=served)
        seen.append((values["manta_registry_answers"], values["manta_champion_served"]))

    assert seen == [(1, 1), (1, 0), (1, 0)]


def test_a_reading_without_an_answer_keeps_what_is_known_of_the_champion(
    metrics: ReplicaMetrics, values: Values
) -> None:
    metrics.record_reading(registry_answers=True, champion="7", served="7")
    metrics.record_reading(registry_answers=False, champion=None, served="7")

    assert values == {"manta_served_version": 7, "manta_registry_answers": 0, "manta_champion_served": 1}
