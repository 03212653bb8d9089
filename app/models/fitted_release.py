"""Compares the scikit-learn that fitted a model with the one that is installed here.

The service, the gate and `manta local` all refuse a model of another minor version with the same text.
"""

from importlib.metadata import version as package_version
from typing import Final

from app.errors import ModelRefusedError

RETRAIN_HERE: Final = (
    "Train a model with this release: `manta train`. During an upgrade of a stack: `manta train --pending`. On one "
    "machine: `manta local --train`."
)
"""Next step for a model that another release trained."""


def check_fitted_release(fitted_with: str, *, label: str) -> None:
    """Refuse a model that another minor version of scikit-learn fitted, because it may predict something else here.

    Args:
        fitted_with: Version of scikit-learn that fitted the model.
        label: Name of the model in the message.

    Raises:
        ModelRefusedError: The minor versions differ.
    """
    installed = package_version("scikit-learn")
    if fitted_with.split(".")[:2] != installed.split(".")[:2]:
        raise ModelRefusedError(
            f"{label} was fitted with scikit-learn {fitted_with}, but scikit-learn {installed} is installed here.",
            allowed=f"a model of scikit-learn {'.'.join(installed.split('.')[:2])}.*",
            next_step=RETRAIN_HERE,
        )
