import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from app.errors import ParameterError
from app.training.hyperparameters import DEFAULT_SPACE, defaults_in, parse_space
from app.training.options import TrainOptions
from app.training.search.tuner import distribution


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "The space is empty"),
        ('{"depth": [1]}', "no parameter 'depth'. Allowed: n_estimators, max_depth"),
        ('{"max_depth": []}', "max_depth is an empty list"),
        ('{"max_depth": {"low": 5, "high": 5}}', "max_depth is empty: 5 is not below 5"),
        ('{"max_depth": {"low": 1.5, "high": 5}}', "no whole numbers"),
        ('{"max_depth": {"low": 2, "high": 5, "step": 1}}', "cannot be read"),
        ('{"max_features": {"low": 0, "high": 1, "log": true}}', "starts at or below 0"),
        ('{"max_features": {"low": 0.5, "high": 1.5}}', "max_features holds 1.5"),
        ('{"max_features": ["all"]}', "max_features holds 'all'"),
        ('{"criterion": {"low": 1, "high": 2}}', "its values are words"),
        ('{"min_samples_leaf": [0]}', "min_samples_leaf holds 0"),
        ('{"max_features": {"low": NaN, "high": 1}}', "cannot be read"),
    ],
)
def test_a_space_that_cannot_be_sampled_is_refused_before_anything_starts(space: str, message: str) -> None:
    with pytest.raises(ParameterError) as refused:
        TrainOptions(trials=3, space=space).check()

    assert message in str(refused.value)


def test_a_space_becomes_what_optuna_draws_from() -> None:
    space = parse_space(
        '{"max_depth": {"low": 2, "high": 9, "log": true}, "max_features": {"low": 0.1, "high": 1}, '
        '"criterion": ["gini", "entropy"], "n_estimators": {"low": 10, "high": 90}}'
    )

    drawn = {name: distribution(name, domain) for name, domain in space.items()}

    assert drawn == {
        "max_depth": IntDistribution(2, 9, log=True),
        "max_features": FloatDistribution(0.1, 1.0),
        "criterion": CategoricalDistribution(["gini", "entropy"]),
        "n_estimators": IntDistribution(10, 90),
    }


def test_the_default_space_holds_the_defaults_of_scikit_learn() -> None:
    start = defaults_in(DEFAULT_SPACE, columns=16)

    assert start == {
        "max_features": 0.25,
        "min_samples_leaf": 1,
        "criterion": "gini",
        "class_weight": None,
        "max_samples": 1.0,
    }


@pytest.mark.parametrize("space", ['{"max_depth": {"low": 2, "high": 9}}', '{"criterion": ["entropy"]}'])
def test_a_space_without_the_defaults_starts_anywhere(space: str) -> None:
    assert defaults_in(parse_space(space), columns=16) is None


def test_a_given_option_is_no_part_of_the_default_space() -> None:
    given = TrainOptions(
        trials=2, max_features=0.5, min_samples_leaf=2, criterion="gini", class_weight="balanced", max_samples=0.5
    )

    with pytest.raises(ParameterError, match="nothing is left to search"):
        given.check()
    given.model_copy(update={"criterion": None}).check()
