import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from app.errors import ParameterError
from app.training.models.forest import ForestDefinition
from app.training.models.forest_parameters import SPACES
from app.training.models.search_space import contains, parse_space
from app.training.options import TrainOptions
from app.training.search.tuner import distribution

FOREST = ForestDefinition("classification")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "The search space is empty"),
        ('{"depth": [1]}', "no parameter 'depth'. Allowed: n_estimators, max_depth"),
        ('{"max_depth": []}', "max_depth is an empty list"),
        ('{"max_depth": {"low": 5, "high": 5}}', "max_depth is empty: 5 is not below 5"),
        ('{"max_depth": {"low": 1.5, "high": 5}}', "max_depth contains 1.5"),
        ('{"max_depth": {"low": 2, "high": 5, "step": 1}}', "cannot be read"),
        ('{"max_features": {"low": 0, "high": 1, "log": true}}', "starts at or below 0"),
        ('{"max_features": {"low": 0.5, "high": 1.5}}', "max_features contains 1.5"),
        ('{"max_features": ["all"]}', "max_features contains 'all'"),
        ('{"criterion": {"low": 1, "high": 2}}', "criterion contains 1, which A forest does not accept"),
        ('{"min_samples_leaf": [0]}', "min_samples_leaf contains 0"),
        ('{"max_features": {"low": NaN, "high": 1}}', "cannot be read"),
    ],
)
def test_an_invalid_search_space_is_refused_when_options_are_checked(space: str, message: str) -> None:
    with pytest.raises(ParameterError) as error:
        TrainOptions(trials=3, space=space).check()

    assert message in str(error.value)


def test_each_domain_becomes_an_optuna_distribution() -> None:
    space = parse_space(
        '{"max_depth": {"low": 2, "high": 9, "log": true}, "max_features": {"low": 0.1, "high": 1}, '
        '"criterion": ["gini", "entropy"], "n_estimators": {"low": 10, "high": 90}}'
    )

    distributions = {name: distribution(name, domain, FOREST.parameters) for name, domain in space.items()}

    assert distributions == {
        "max_depth": IntDistribution(2, 9, log=True),
        "max_features": FloatDistribution(0.1, 1.0),
        "criterion": CategoricalDistribution(["gini", "entropy"]),
        "n_estimators": IntDistribution(10, 90),
    }


def test_the_default_search_space_contains_the_defaults_of_scikit_learn() -> None:
    point = FOREST.default_point(feature_count=16)

    assert contains(SPACES["classification"], point)
    assert {name: point[name] for name in SPACES["classification"]} == {
        "max_features": 0.25,
        "min_samples_leaf": 1,
        "criterion": "gini",
        "class_weight": None,
        "max_samples": 1.0,
    }


@pytest.mark.parametrize("space", ['{"max_depth": {"low": 2, "high": 9}}', '{"criterion": ["entropy"]}'])
def test_a_search_space_without_the_defaults_of_scikit_learn_has_no_default_point(space: str) -> None:
    assert not contains(parse_space(space), FOREST.default_point(feature_count=16))


def test_a_parameter_that_an_option_sets_is_not_searched() -> None:
    options = TrainOptions(
        trials=2, max_features=0.5, min_samples_leaf=2, criterion="gini", class_weight="balanced", max_samples=0.5
    )

    with pytest.raises(ParameterError, match="there is nothing to search"):
        options.check()
    options.model_copy(update={"criterion": None}).check()
