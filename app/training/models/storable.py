"""The check that serving can load a model: it is stored and loaded again as the service does it."""

import tempfile
from pathlib import Path
from typing import Final

import skops.io
from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.artifact import load_estimator
from app.models.formats import boosters, signed_pickle
from app.models.trusted_types import TRUSTED_TYPES
from app.training.models.code_errors import ModelCodeError, summarize

WAYS_OUT: Final = (
    "Use scikit-learn's own transformers instead, such as ColumnTransformer, OneHotEncoder, SimpleImputer or "
    "TfidfVectorizer, or do this step before the data reaches training. Or allow pickles that this platform signs: "
    f"{signed_pickle.ALLOW}."
)
"""Next step of a model that serving could not load."""


def check(model: BaseEstimator, *, owner: str) -> None:
    """Check that the stored form of a fitted model holds nothing that serving refuses.

    Args:
        model: A fitted model; a few rows are enough.
        owner: The model in error messages, such as `model.py:build`.

    Raises:
        ModelCodeError: Serving could not load the model, and signed pickles are not allowed. The message names the step
            and the type.
    """
    if signed_pickle.is_allowed():
        return
    try:
        content = skops.io.dumps(model)
        untrusted = set(skops.io.get_untrusted_types(data=content)) - {*TRUSTED_TYPES, *boosters.trusted_types()}
    except Exception as error:  # skops raises many types for objects that it cannot store
        raise ModelCodeError(
            f"The model of {owner} cannot be stored: {summarize(error)}.", next_step=WAYS_OUT
        ) from error
    if untrusted:
        parts = ", ".join(f"{name}{_step(model, name)}" for name in sorted(untrusted))
        raise ModelCodeError(
            f"The model of {owner} holds types that the service does not load: {parts}.",
            allowed="estimators and functions of scikit-learn, NumPy and SciPy",
            next_step=WAYS_OUT,
        )
    with tempfile.TemporaryDirectory(prefix="manta-trial-") as folder:
        file = Path(folder) / "model.skops"
        file.write_bytes(content)
        try:
            load_estimator(file, f"The model of {owner}")
        except ModelRefusedError as error:
            raise ModelCodeError(error.detail, allowed=error.allowed, next_step=WAYS_OUT) from error


def _step(model: BaseEstimator, type_name: str) -> str:
    """Return the step of a pipeline that has a type, in words; empty if there is none."""
    steps = [
        name
        for name, part in model.get_params(deep=True).items()
        if type_name in {_full_name(part), _full_name(type(part))}
    ]
    return f" (step {steps[-1].replace('__', ' > ')})" if steps else ""


def _full_name(part: object) -> str:
    return f"{getattr(part, '__module__', '')}.{getattr(part, '__name__', '')}"
