"""The interval of the gate holds the truth as often as it says, also for few rows, rare classes and groups."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from app.training.data.dataset import Rows
from app.training.evaluation import bootstrap
from app.training.evaluation.bootstrap import Resampling, interval_percentiles
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import weighted_metric

SIMULATIONS = 100
"""Simulated comparisons of a test. A rate of 2.5% gives more than 7 of 100 once in 200 seeds."""

RMSE = find_metric("rmse")
Simulation = Callable[[np.random.Generator], tuple[Rows, tuple[np.ndarray, np.ndarray]]]


def make_rows(target: np.ndarray, **columns: np.ndarray) -> Rows:
    return Rows(
        features=pd.DataFrame(index=range(len(target))),
        target=pd.Series(target),
        **{name: pd.Series(values) for name, values in columns.items()},
    )


def interval(rows: Rows, metric: str, sign: int, answers: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Return the interval of the difference of two models."""
    target = rows.target.to_numpy()
    first, second = (weighted_metric(metric, Predictions(answers=answer), target) for answer in answers)
    bounds = Resampling.of(rows, find_metric(metric)).interval(
        lambda weights: sign * (first(weights) - second(weights))
    )
    assert bounds is not None
    return bounds


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw fewer resamples, because a simulation computes many intervals."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)


def simulate_classes(generator: np.random.Generator) -> tuple[Rows, tuple[np.ndarray, np.ndarray]]:
    """Two models that answer eight of ten rows correctly; one class has a tenth of the 100 rows."""
    target = (np.arange(100) < 10).astype(int)
    first, second = (np.where(generator.random(100) < 0.8, target, 1 - target) for _ in range(2))
    return make_rows(target), (first, second)


def simulate_numbers(generator: np.random.Generator) -> tuple[Rows, tuple[np.ndarray, np.ndarray]]:
    """Two models with errors of the same size on 20 rows."""
    target = generator.normal(size=20)
    first, second = (target + generator.normal(size=20) for _ in range(2))
    return make_rows(target), (first, second)


def simulate_groups(generator: np.random.Generator) -> tuple[Rows, tuple[np.ndarray, np.ndarray]]:
    """Two models whose errors are the same in all rows of a group, on 10 groups of 12 rows."""
    target, groups = generator.normal(size=120), np.repeat(np.arange(10), 12)
    first, second = (target + generator.normal(size=10)[groups] for _ in range(2))
    return make_rows(target, groups=groups), (first, second)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(
    ("simulate", "metric", "sign"),
    [(simulate_classes, "balanced_accuracy", 1), (simulate_numbers, "mae", -1), (simulate_groups, "mae", -1)],
    ids=["rare class", "few rows", "groups"],
)
def test_of_two_equally_good_models_the_newer_rarely_passes(simulate: Simulation, metric: str, sign: int) -> None:
    generator = np.random.default_rng(3)

    lows = [interval(rows, metric, sign, answers)[0] for rows, answers in map(simulate, [generator] * SIMULATIONS)]

    assert 0 < np.count_nonzero(np.array(lows) > 0) <= 7


@pytest.mark.usefixtures("few_resamples")
def test_drawing_rows_one_by_one_would_pass_many_equally_good_models_of_grouped_rows() -> None:
    generator = np.random.default_rng(3)
    lows = []

    for _ in range(50):
        rows, answers = simulate_groups(generator)
        lows.append(interval(make_rows(rows.target.to_numpy()), "mae", -1, answers)[0])

    assert np.count_nonzero(np.array(lows) > 0) > 10


def test_the_rows_of_a_group_are_drawn_together() -> None:
    groups = np.array(["a", "b", "a", "c", "b", "a"])
    resampling = Resampling.of(make_rows(np.arange(6.0), groups=groups), RMSE)

    weights = list(resampling.weights())[:50]

    assert (resampling.unit_count, resampling.unit_name) == (3, "groups")
    assert all(drawn[0] == drawn[2] == drawn[5] and drawn[1] == drawn[4] for drawn in weights)
    assert len({tuple(drawn) for drawn in weights}) > 3


def test_rows_with_times_are_drawn_in_blocks_of_neighbours_in_time() -> None:
    times = np.random.default_rng(0).permutation(64)
    resampling = Resampling.of(make_rows(np.arange(64.0), times=times), RMSE)

    weights = next(resampling.weights())[np.argsort(times)]

    assert (resampling.unit_count, resampling.unit_name) == (16, "blocks of time")
    assert (weights.reshape(16, 4) == weights[::4, np.newaxis]).all()


def test_a_resample_keeps_the_share_of_each_class() -> None:
    target = np.array(["x"] * 3 + ["y"] * 40, dtype=object)

    totals = [
        (weights[:3].sum(), weights[3:].sum())
        for weights in Resampling.of(make_rows(target), find_metric("f1")).weights()
    ]

    assert np.allclose(totals, (3, 40))


def test_a_resample_multiplies_the_weights_of_the_rows() -> None:
    row_weights = np.array([0.5, 2.0, 3.0, 1.0])
    plain = Resampling.of(make_rows(np.arange(4.0)), RMSE)
    weighted = Resampling.of(make_rows(np.arange(4.0), weights=row_weights), RMSE)

    pairs = zip(plain.weights(), weighted.weights(), strict=True)

    assert all((first * row_weights == second).all() for first, second in pairs)


def test_rows_of_one_group_give_no_interval() -> None:
    resampling = Resampling.of(make_rows(np.arange(6.0), groups=np.array(["a"] * 6)), RMSE)

    assert resampling.interval(lambda weights: float(weights.sum())) is None


def test_a_statistic_that_most_resamples_do_not_define_gives_no_interval() -> None:
    resampling = Resampling.of(make_rows(np.arange(6.0)), RMSE)

    assert resampling.interval(lambda weights: 1.0 if weights[0] >= 2 else float("nan")) is None


def test_the_interval_is_wider_for_few_rows() -> None:
    assert interval_percentiles(100_000) == pytest.approx((2.5, 97.5), abs=0.001)
    assert interval_percentiles(9) == pytest.approx((1.185, 98.815), abs=0.001)
