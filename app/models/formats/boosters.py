"""XGBoost's and LightGBM's boosters inside a skops file: a pipeline, an ensemble or an estimator of LightGBM.

skops stores such a booster in the library's own format: XGBoost's UBJ or LightGBM's text. No code runs when it is read.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

from app.errors import ModelRefusedError
from app.models.formats import extras, lightgbm_trees, xgboost_trees

TRUSTED_TYPES: Final = {
    "xgboost": [
        "xgboost.core.Booster",
        *(f"xgboost.sklearn.{name}" for name in ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")),
    ],
    "lightgbm": [
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
    ],
}
"""Types that a skops file may hold, by package. skops also refuses their methods, which write and read files."""

UNCHECKED: Final = "predict_disable_shape_check"
"""Parameter with which LightGBM reads rows of too few columns."""


def trusted_types() -> list[str]:
    """Return the types of the packages that are installed here."""
    return [name for package, types in TRUSTED_TYPES.items() if extras.is_installed(package) for name in types]


def missing_package(types: str, *, label: str) -> ModelRefusedError | None:
    """Build the refusal of a skops file with the types of a package that is not installed here; None for others.

    Args:
        types: The names of types that skops does not trust, in one text.
        label: Name of the model in error messages.
    """
    for package in TRUSTED_TYPES:
        if f"{package}." in types and not extras.is_installed(package):
            return extras.missing(package, label=label)
    return None


def soundness_checks(part: object) -> list[tuple[bool, Callable[[], bool], str]]:
    """Return the checks of a booster: whether a check applies, the check, and what its failure means.

    Args:
        part: Any object that a model holds.
    """
    booster: Any = part  # the packages are optional
    fault = "a tree of a booster has an index outside its arrays"
    return [
        (_is_a(part, "xgboost", "Booster"), lambda: xgboost_trees.is_sound(booster), fault),
        (_is_a(part, "lightgbm", "Booster"), lambda: lightgbm_trees.is_sound(booster.model_to_string()), fault),
        (
            _is_a(part, "lightgbm", "LGBMModel"),
            lambda: UNCHECKED not in booster.get_params(),
            "it switches LightGBM's check of the number of columns off",
        ),
    ]


def fitted_names(model: object, names: list[str]) -> list[str]:
    """Return the names that an estimator has for columns: LightGBM replaces blanks by underscores.

    Args:
        model: The estimator.
        names: Names of the columns.
    """
    return [name.replace(" ", "_") for name in names] if _is_a(model, "lightgbm", "LGBMModel") else names


def may_exist() -> bool:
    """Whether this process can hold a booster: whether a package of boosters was imported."""
    return any(package in sys.modules for package in TRUSTED_TYPES)


def use_one_thread(part: object) -> None:
    """Let a booster predict in one thread, because requests already run in parallel."""
    booster: Any = part  # the packages are optional
    if _is_a(part, "xgboost", "Booster"):
        booster.set_param({"nthread": 1})
    elif _is_a(part, "lightgbm", "LGBMModel"):
        booster.set_params(n_jobs=1)


def _is_a(part: object, package: str, name: str) -> bool:
    """Whether an object is an instance of a class of a package, which is imported if such an object exists."""
    module = sys.modules.get(package)
    return module is not None and isinstance(part, getattr(module, name))
