"""Which format a stored model has, and which module reads and writes it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.formats import lightgbm_format, onnx_format, signed_pickle, storable, xgboost_format
from app.models.formats.stored_model import LIGHTGBM, ONNX, SIGNED_PICKLE, XGBOOST, Storage

FLAVORS: Final[dict[str, Callable[[Mapping[str, Any]], tuple[str, Storage]]]] = {
    "xgboost": xgboost_format.file_name,
    "lightgbm": lightgbm_format.file_name,
    "onnx": onnx_format.file_name,
    signed_pickle.FLAVOR: signed_pickle.file_name,
}
"""What finds the file of a model and its format, by flavor of MLflow."""

READERS: Final[dict[str, Callable[[Path, Mapping[str, str], str], BaseEstimator]]] = {
    XGBOOST: xgboost_format.load,
    LIGHTGBM: lightgbm_format.load,
    ONNX: onnx_format.load,
    SIGNED_PICKLE: signed_pickle.load,
}
"""What reads a file, by format."""


def find_file(flavors: Mapping[str, Any]) -> tuple[str, Storage] | None:
    """Return the name of a model's file in its folder, and its storage; None for a model of another library.

    Args:
        flavors: The flavors of the MLflow model.
    """
    for name, find in FLAVORS.items():
        if name in flavors:
            return find(flavors[name])
    return None


def write(model: BaseEstimator, *, registered_name: str, options: dict[str, Any]) -> str | None:
    """Log a model that skops does not store in the active run.

    Args:
        model: The fitted model.
        registered_name: The registered model under which it will serve; a signature is bound to it.
        options: Options of MLflow's `log_model`.

    Returns:
        The model's URI; None if the model is one for skops.
    """
    if xgboost_format.can_store(model):
        return xgboost_format.log(model, **options)
    if onnx_format.can_store(model):
        return onnx_format.log(model, **options)
    if signed_pickle.is_allowed() and storable.skops_fault(model):
        return signed_pickle.log(model, registered_name=registered_name, **options)
    return None


def load(path: Path, storage: Storage, *, label: str) -> BaseEstimator:
    """Read a model that is not stored with skops.

    Args:
        path: The file.
        storage: How the model is stored.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The format is unknown, its package is not installed here, or the model is not supported.
        Exception: The file is damaged.
    """
    read = READERS.get(storage.format)
    if read is None:
        raise ModelRefusedError(
            f"{label} is stored as {storage.format}.",
            allowed=", ".join(READERS),
            next_step="Load another version.",
        )
    return read(path, storage.details, label)
