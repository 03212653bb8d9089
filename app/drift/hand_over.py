"""The line of its log with which the judging job hands a retraining over to the process that submitted it.

That process, `app.cli.jobs.drift`, submits the training, so that the training is a job of its own.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import PlatformError
from app.training.options import TrainOptions


class Retraining(BaseModel):
    """A training that a judgement began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judgement: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    """Run of the judgement."""
    options: TrainOptions

    def to_line(self, marker: str) -> str:
        """Return the line of the log.

        Args:
            marker: Beginning of the line: the random id of the judging job, which no text that MLflow holds contains.
        """
        return f"{marker} {self.model_dump_json(exclude_defaults=True)}"

    @classmethod
    def from_line(cls, line: str, marker: str) -> Self | None:
        """Read a line of the log; None if it hands nothing over.

        Raises:
            PlatformError: The line was written by another release.
            ParameterError: Two of the options exclude each other.
        """
        if not line.startswith(f"{marker} "):
            return None
        try:
            retraining = cls.model_validate_json(line.removeprefix(f"{marker} "))
        except ValidationError as error:
            raise PlatformError(
                f"The judging job handed over a training that this release cannot read: {error.errors()[0]['msg']}.",
                next_step="Run the judgement with the same release as Ray's workers.",
            ) from error
        retraining.options.check()
        return retraining
