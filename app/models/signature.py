"""The columns that a model takes, by its MLflow signature."""

from dataclasses import dataclass
from functools import cached_property

from mlflow.types import DataType


@dataclass(frozen=True, kw_only=True)
class Column:
    """A feature, by the model's signature."""

    name: str
    type: DataType = DataType.double


class Columns(tuple[Column, ...]):  # noqa: SLOT001 - what follows from them is kept with them
    """The features of a model, in the order in which rows hold them."""

    @cached_property
    def names(self) -> list[str]:
        """What they are called."""
        return [column.name for column in self]

    @cached_property
    def hold_text(self) -> bool:
        """Whether one of them holds text."""
        return any(column.type == DataType.string for column in self)

    @cached_property
    def take_any_number(self) -> bool:
        """Whether each of them takes any finite number within float32."""
        return all(column.type in (DataType.double, DataType.float) for column in self)
