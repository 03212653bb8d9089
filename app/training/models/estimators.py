"""What a user's function must return: a classifier or regressor of scikit-learn's interface, unfitted or fitted."""

from typing import Final

from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from app.training.data.dataset import Task
from app.training.models.code_errors import ModelCodeError

TRIAL_TREES: Final = 10
"""Maximum number of trees of the model that is fitted on a few rows. Storing a thousand trees takes seconds."""

ALLOWED: Final = "a scikit-learn classifier or regressor, or a pipeline that ends in one"


def check_unfitted(estimator: object, *, owner: str) -> BaseEstimator:
    """Check what `build` returned.

    Args:
        estimator: The returned object.
        owner: The function in error messages, such as `model.py:build`.

    Raises:
        ModelCodeError: The object is no classifier and no regressor, is a class, or is fitted.
    """
    checked = _check_kind(estimator, owner=owner)
    if is_fitted(checked) and get_tags(checked).requires_fit:
        raise ModelCodeError(
            f"{owner} returns a fitted {type(checked).__name__}.",
            allowed="an unfitted estimator, because training fits it on the training rows",
            next_step="Remove the call of fit. To register a fitted model, use `manta register`. To fit the model with "
            "code of your own, write a function fit(features, target).",
        )
    return checked


def check_fitted(estimator: object, *, owner: str) -> BaseEstimator:
    """Check what a user's `fit` returned.

    Raises:
        ModelCodeError: The object is no classifier and no regressor, is a class, or is not fitted.
    """
    checked = _check_kind(estimator, owner=owner)
    if not is_fitted(checked):
        raise ModelCodeError(
            f"{owner} returns a {type(checked).__name__} that is not fitted.",
            allowed="a fitted estimator",
            next_step="Call its fit(features, target) and return it, or name the function build() without parameters "
            "`features` and `target`.",
        )
    return checked


def is_fitted(estimator: BaseEstimator) -> bool:
    """Whether an estimator is fitted."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def task_of(estimator: BaseEstimator) -> Task:
    """Return what an estimator predicts."""
    return "classification" if is_classifier(estimator) else "regression"


def set_seeds(estimator: BaseEstimator, seed: int) -> BaseEstimator:
    """Set `random_state` to a seed in every part of an estimator that has none, so that a run can be repeated."""
    unset = [
        name
        for name, value in estimator.get_params(deep=True).items()
        if value is None and name.rpartition("__")[2] == "random_state"
    ]
    return estimator.set_params(**dict.fromkeys(unset, seed))


def limit_trees(estimator: BaseEstimator) -> BaseEstimator:
    """Let every part of an estimator that is an ensemble have `TRIAL_TREES` members at most."""
    limits = {}
    for name, value in estimator.get_params(deep=True).items():
        owner, _, parameter = name.rpartition("__")
        counts_trees = parameter == "n_estimators" or (parameter == "max_iter" and _is_boosting(estimator, owner))
        if counts_trees and isinstance(value, int) and value > TRIAL_TREES:
            limits[name] = TRIAL_TREES
    return estimator.set_params(**limits)


def _is_boosting(estimator: BaseEstimator, owner: str) -> bool:
    part = estimator.get_params(deep=True)[owner] if owner else estimator
    return isinstance(part, HistGradientBoostingClassifier | HistGradientBoostingRegressor)


def _check_kind(estimator: object, *, owner: str) -> BaseEstimator:
    if estimator is None:
        raise ModelCodeError(f"{owner} returns None.", allowed=ALLOWED, next_step="Add a return statement.")
    if isinstance(estimator, type):
        raise ModelCodeError(
            f"{owner} returns the class {estimator.__name__}.",
            allowed="an instance",
            next_step=f"Return {estimator.__name__}(...).",
        )
    if not (hasattr(estimator, "fit") and hasattr(estimator, "get_params") and hasattr(estimator, "__sklearn_tags__")):
        raise ModelCodeError(
            f"{owner} returns a {type(estimator).__name__}, which is no estimator of scikit-learn.",
            allowed=ALLOWED,
            next_step="Derive your own class from sklearn.base.BaseEstimator and ClassifierMixin or RegressorMixin.",
        )
    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise ModelCodeError(
            f"{owner} returns a {type(estimator).__name__} that is neither a classifier nor a regressor.",
            allowed=ALLOWED,
            next_step="Put a classifier or a regressor at the end of the pipeline, or derive your own class from "
            "ClassifierMixin or RegressorMixin.",
        )
    return estimator
