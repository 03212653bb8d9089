"""The optional packages: which extra of manta installs them, and the error if they are missing."""

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import Final

from app.errors import ModelRefusedError

EXTRAS: Final = {"xgboost": "xgboost", "lightgbm": "lightgbm", "onnxruntime": "onnx", "onnx": "onnx"}
"""The extra that installs each package, by the name under which the package is imported."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported here."""
    return find_spec(package) is not None


def require(package: str, *, label: str) -> ModuleType:
    """Import an optional package.

    Args:
        package: The package, as it is imported; a key of `EXTRAS`.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The package is not installed here.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise missing(package, label=label, reason=str(error)) from error


def missing(package: str, *, label: str, reason: str = "") -> ModelRefusedError:
    """Build the refusal of a model whose package is not installed here.

    Args:
        package: The package, as it is imported; a key of `EXTRAS`.
        label: Name of the model in error messages.
        reason: Message of the failed import, which also says if only a library of the system is missing.
    """
    extra = EXTRAS[package]
    return ModelRefusedError(
        f"{label} needs the package {package}, which cannot be imported here{f' ({reason})' if reason else ''}.",
        next_step=f"On a stack: pulumi config set --path 'imageExtras[0]' {extra}, then pulumi up. On one machine: "
        f"python -m pip install --require-hashes -r requirements/extras/{extra}.txt, or pip install 'manta[{extra}]'.",
    )
