"""The file that holds a stored model, and the name of its format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SKOPS: Final = "skops"
XGBOOST: Final = "xgboost"
LIGHTGBM: Final = "lightgbm"
ONNX: Final = "onnx"
SIGNED_PICKLE: Final = "signed-pickle"


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How a model is stored."""

    format: str = SKOPS
    """Name of the format."""
    details: Mapping[str, str] = field(default_factory=dict)
    """What the format needs besides the file, such as the class of the model."""

    @property
    def needs_frames(self) -> bool:
        """Whether the model was fitted on a data frame without recording it, as a user's own class may be."""
        return self.format == SIGNED_PICKLE


SKOPS_STORAGE: Final = Storage()
"""A skops file, which needs no details."""


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """The file of a model."""

    path: Path
    storage: Storage = SKOPS_STORAGE
