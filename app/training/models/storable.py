"""The check that serving can load a model: it is stored in memory, and its types are compared with the trusted ones."""

from typing import Final

import skops.io
from sklearn.base import BaseEstimator

from app.models.trusted_types import TRUSTED_TYPES
from app.training.models.code_errors import ModelCodeError, summarize

WAYS_OUT: Final = (
    "Use scikit-learn's own transformers instead, such as ColumnTransformer, OneHotEncoder, SimpleImputer or "
    "TfidfVectorizer, or do this step before the data reaches training."
)
"""Next step of a model that serving could not load."""


def check(model: BaseEstimator, *, owner: str) -> None:
    """Check that the stored form of a fitted model holds no type that serving refuses.

    Args:
        model: A fitted model; a few rows are enough.
        owner: The model in error messages.

    Raises:
        ModelCodeError: Serving could not load the model. The message names the step and the type.
    """
    try:
        content = skops.io.dumps(model)
        untrusted = set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED_TYPES)
    except Exception as error:  # skops raises many types for objects that it cannot store
        raise ModelCodeError(
            f"The model of {owner} cannot be stored: {summarize(error)}", next_step=WAYS_OUT
        ) from error
    if untrusted:
        parts = ", ".join(f"{name}{_step(model, name)}" for name in sorted(untrusted))
        raise ModelCodeError(
            f"The model of {owner} holds types that the service does not load: {parts}.",
            allowed="estimators and functions of scikit-learn, NumPy and SciPy",
            next_step=WAYS_OUT,
        )


def _step(model: BaseEstimator, type_name: str) -> str:
    """Return the step of a pipeline that has a type, in words; empty if there is none."""
    steps = [
        name
        for name, part in model.get_params(deep=True).items()
        if type_name in {_qualified_name(part), _qualified_name(type(part))}
    ]
    return f" (step {steps[-1].replace('__', ' > ')})" if steps else ""


def _qualified_name(part: object) -> str:
    return f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', '')}"
