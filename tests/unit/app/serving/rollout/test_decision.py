import math

import numpy as np
import pytest
from scipy.integrate import quad

from app.serving.rollout.decision import LIMIT, Kind, StepEvents, can_decide, e_values, log_e, mean_e_value
from tests.support.simulated_rollouts import simulate


@pytest.mark.parametrize(("k", "n", "share"), [(0, 0, 0.05), (1, 1, 0.05), (3, 40, 0.1), (9, 12, 0.5), (0, 30, 0.95)])
def test_the_e_value_is_the_mean_likelihood_ratio_above_the_share(k: int, n: int, share: float) -> None:
    def ratio(chance: float) -> float:
        return (chance / share) ** k * ((1 - chance) / (1 - share)) ** (n - k)

    mean = quad(ratio, share, 1)[0] / (1 - share)

    assert math.exp(log_e(np.array(k), np.array(n), share)) == pytest.approx(mean)


@pytest.mark.parametrize(("k", "n", "share"), [(0, 5_000, 0.5), (100, 50_000, 0.05), (10_000, 10_000, 0.05)])
def test_the_e_value_is_finite_for_many_events(k: int, n: int, share: float) -> None:
    assert np.isfinite(log_e(np.array(k), np.array(n), share))


def test_the_e_value_of_a_far_better_challenger_falls_slowly() -> None:
    before, after = log_e(np.array([0, 0]), np.array([1000, 1100]), 0.5)

    assert before - after == pytest.approx(math.log(1.1), rel=0.02)


@pytest.mark.parametrize("chance", [0.02, 0.05])
def test_the_mean_e_value_of_a_challenger_that_is_no_worse_is_at_most_one(chance: float) -> None:
    k = np.random.default_rng(0).binomial(30, chance, 100_000)

    assert np.exp(log_e(k, np.full_like(k, 30), 0.05)).mean() <= 1.1


@pytest.mark.parametrize(("rate", "rows"), [(0.001, 10_000), (0.01, 10_000), (0.05, 1_000), (0.3, 300)])
def test_at_most_five_percent_of_equal_challengers_go_back(rate: float, rows: int) -> None:
    assert simulate(rate, rate, rows_of_step=rows).rollbacks <= 0.05


@pytest.mark.parametrize(("rate", "rows"), [(0.02, 30_000), (0.05, 4_000), (0.10, 1_500), (0.50, 400)])
def test_a_worse_challenger_is_gone(rate: float, rows: int) -> None:
    outcome = simulate(0.01, rate, rows_of_step=10_000)

    assert outcome.rollbacks > 0.95
    assert outcome.median_rows is not None
    assert outcome.median_rows < rows


def test_steps_multiply_and_kinds_are_averaged() -> None:
    first = StepEvents(share=0.05, bad={Kind.ERROR: (2, 2)})
    second = StepEvents(share=0.5, bad={Kind.ERROR: (3, 3), Kind.SLOW: (0, 9)})

    both = e_values([first, second])

    assert both[Kind.ERROR] == pytest.approx(e_values([first])[Kind.ERROR] * e_values([second])[Kind.ERROR])
    assert both[Kind.WRONG] == 1
    assert mean_e_value([first, second]) == pytest.approx(sum(both.values()) / 3)


def test_evidence_beyond_the_range_of_numbers_is_infinite() -> None:
    steps = [StepEvents(share=0.05, bad={Kind.ERROR: (1000, 1000)})]

    assert e_values(steps)[Kind.ERROR] == mean_e_value(steps) == math.inf


@pytest.mark.parametrize(
    ("shares", "events", "is_possible"),
    [
        ((0.05,), 1, False),
        ((0.05,), 2, True),
        ((0.95,), 50, False),
        ((0.95,), 300, True),
        ((0.5, 0.5), 4, False),
        ((), 9, False),
    ],
)
def test_a_policy_can_decide_if_it_waits_for_enough_events(
    shares: tuple[float, ...],
    events: int,
    is_possible: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    assert can_decide(shares, events) == is_possible


def test_a_challenger_whose_first_requests_all_fail_goes_back_after_two() -> None:
    assert mean_e_value([StepEvents(share=0.05, bad={Kind.ERROR: (2, 2)})]) > LIMIT
