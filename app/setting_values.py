"""Values of settings that consist of several fields. `app.settings` reads them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class DvcFile(BaseModel):
    """Where a job on a cluster finds a file of a DVC repository, which the cluster has no copy of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    location: str
    """Path in the job's working directory, or URL in DVC's remote storage."""
    md5: str
    revision: str
    """Value of the tag `data.revision`."""


class PredictToken(BaseModel):
    """A bearer token that is accepted for predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: Annotated[SecretStr, Field(min_length=1)]
    model: str = ""
    """Registered model that the token is accepted for. Empty: all models of the service."""
