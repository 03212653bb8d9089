"""Whether a model can be stored so that the service may load it, and why not."""

import io
from typing import Final

from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.formats import boosters, onnx_format, signed_pickle, xgboost_format
from app.models.skops_nodes import check_nodes
from app.models.trusted_types import TRUSTED_TYPES

WAYS_OUT: Final = (
    "Use a transformer of scikit-learn such as ColumnTransformer, OneHotEncoder or SimpleImputer, or a "
    "FunctionTransformer with a function of NumPy. Or convert the model to ONNX. Or allow pickles that this platform "
    f"signs: {signed_pickle.ALLOW}."
)
"""Next step of a model that cannot be stored."""


def check_storable(model: BaseEstimator, *, owner: str) -> None:
    """Refuse a model that the service could not load.

    Args:
        model: A model that was fitted on a few rows, or the model itself.
        owner: The model in the error message, such as `model.py:build`.

    Raises:
        ModelRefusedError: No format can hold the model. The message names the types and their steps.
    """
    if signed_pickle.is_allowed() or xgboost_format.can_store(model) or onnx_format.can_store(model):
        return
    fault = skops_fault(model)
    if fault:
        raise ModelRefusedError(
            f"The model of {owner} cannot be stored: {fault}",
            allowed="estimators and functions of scikit-learn, NumPy and SciPy, XGBoost, LightGBM and ONNX",
            next_step=WAYS_OUT,
        )


def skops_fault(model: BaseEstimator) -> str:
    """Return why a skops file cannot hold a model; empty if it can."""
    import skops.io  # noqa: PLC0415 - see `app.models.artifact`
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415 - the same

    trusted = [*TRUSTED_TYPES, *boosters.trusted_types()]
    try:
        content = skops.io.dumps(model)
        untrusted = set(skops.io.get_untrusted_types(data=content)).difference(trusted)
        if not untrusted:
            check_nodes(io.BytesIO(content))
            skops.io.loads(content, trusted=trusted)
    except UntrustedTypesFoundException as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - skops raises many types for objects that it cannot store
        return f"{type(error).__name__}: {error}"
    if not untrusted:
        return ""
    parts = ", ".join(f"{name}{_step(model, name)}" for name in sorted(untrusted))
    return f"the service does not load the types {parts}."


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
