"""Compares the version of scikit-learn that fitted a model with the version that is installed here.

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
    if _minor(fitted_with) != installed_minor():
        raise ModelRefusedError(
            f"{label} was fitted with scikit-learn {fitted_with}, but scikit-learn {installed} is installed here.",
            allowed=f"a model of scikit-learn {installed_minor()}.*",
            next_step=RETRAIN_HERE,
        )


def installed_minor() -> str:
    """Return the minor version of scikit-learn that is installed here, such as `1.9`."""
    return _minor(package_version("scikit-learn"))


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
