import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from app.models.predictor import Predictor, compile_model
from app.serving.measures import fleet_measures
from app.serving.measures.answer_bins import OTHER, AnswerBins, ClassBins, SizeBins, bins_of
from app.serving.measures.tally import BOUNDS_S, Answered, Role, Tally, quantile_s
from tests.support.replica_api import ROWS, artifact

ROLE = Role("m", "1", "champion")


def counts(bins: AnswerBins, predictions: np.ndarray) -> np.ndarray:
    tally = Tally(ROLE, bins)
    tally.add(Answered(len(predictions), 0.001, bins.count(predictions)))
    assert tally.answers is not None
    return tally.answers


def predictor(model: BaseEstimator) -> Predictor:
    return compile_model(artifact(model), label="m")


@pytest.mark.parametrize("labels", [["no", "yes"], ["b", "a"], [3, 1, 2], [False, True]])
def test_answers_count_by_class_in_any_order_of_the_labels(labels: list[object]) -> None:
    bins = ClassBins(np.array(labels))
    predictions = np.array(labels)[[0, 1, 0, 1, 0]]

    many = bins.describe(counts(bins, predictions))[0]
    one = bins.describe(counts(bins, predictions[:1]))[0]

    assert many is not None
    assert one is not None
    assert (many[str(labels[0])], many[str(labels[1])]) == (3, 2)
    assert one[str(labels[0])] == sum(one.values()) == 1


def test_classes_beyond_the_limit_share_one_count() -> None:
    bins = ClassBins(np.arange(1000))

    described = bins.describe(counts(bins, np.arange(1000)))[0]

    assert described is not None
    assert (len(described), described[OTHER], described["0"]) == (21, 980, 1)
    assert bins.count(np.array([999])) == 20


@pytest.mark.parametrize("scale", [1e-6, -3.0, 4e9])
def test_quantiles_of_numbers_are_accurate_to_seven_percent(scale: float) -> None:
    values = np.random.default_rng(0).lognormal(size=2000) * scale
    bins = SizeBins()

    quantiles = bins.describe(counts(bins, values))[1]

    assert quantiles is not None
    for name, value in quantiles.items():
        assert value == pytest.approx(np.quantile(values, float(name)), rel=0.07)


def test_one_number_counts_as_in_an_array() -> None:
    bins = SizeBins()
    values = np.array([0.0, 1.0, -1.0, 1e-300, 1e300, -1e300, 123.4, -0.3, 2.0**-64, 2.0**64])

    for value in values:
        assert bins.count(np.array([value])) == counts(bins, np.array([value, value])).argmax()


@pytest.mark.parametrize("predictions", [np.array(["x"]), np.array(["x", "y"]), np.ones((2, 2)), np.array([np.inf])])
def test_counting_never_fails_an_answer(predictions: np.ndarray) -> None:
    for bins in (ClassBins(np.array([1, 2])), SizeBins()):
        Tally(ROLE, bins).add(Answered(1, 0.0, bins.count(predictions)))


def test_a_model_with_several_outputs_is_not_counted_by_answer() -> None:
    labels = np.column_stack([ROWS["a"] > 0, ROWS["b"] > 0])

    assert bins_of(predictor(RandomForestClassifier(2, random_state=0).fit(ROWS, labels))) is None
    assert isinstance(bins_of(predictor(LinearRegression().fit(ROWS, ROWS["a"]))), SizeBins)


def test_latency_quantiles_are_the_bounds_of_their_bins() -> None:
    tally = Tally(ROLE, None)
    for milliseconds in range(1, 101):
        tally.add(Answered(1, milliseconds / 1000, None))
    tally.add(Answered(1, 1e4, None))

    assert quantile_s(tally.latencies, 0.5) == pytest.approx(0.051, rel=0.19)
    assert quantile_s(tally.latencies, 0.95) == pytest.approx(0.096, rel=0.19)
    assert quantile_s(tally.latencies, 1) == BOUNDS_S[-1]
    assert quantile_s(np.zeros_like(tally.latencies), 0.5) is None


def test_the_counts_of_all_replicas_are_added_by_version_and_role() -> None:
    bins = ClassBins(np.array(["a", "b"]))
    tallies = [Tally(ROLE, bins), Tally(ROLE, bins), Tally(ROLE._replace(version="2"), bins)]
    for tally in tallies:
        tally.add(Answered(2, 0.001, bins.count(np.array(["a", "b"]))))
        tally.add_error(is_of_client=True)
    tallies[0].add_error(is_of_client=False)

    first, second = map(fleet_measures.describe, fleet_measures.add(tally.snapshot() for tally in tallies))

    assert (first.version, first.requests, first.rows, first.client_errors, first.errors) == ("1", 2, 4, 2, 1)
    assert first.answers == {"a": 2, "b": 2}
    assert (second.version, second.requests, second.errors) == ("2", 1, 0)
