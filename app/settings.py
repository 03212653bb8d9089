"""The only reader of the environment: what a process of the app is told from outside."""

import os
from functools import cache
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app import names

CLIENT_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # with growing pauses; MLflow's own default waits for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds of silence before a request counts as failed
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a log is no terminal
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each trial of a search
    "RAY_AIR_NEW_OUTPUT": "0",  # Ray Tune's tables, which it draws however quiet it is to be
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials are recorded in MLflow
}
"""What MLflow's client and Ray Tune are told where nobody says otherwise."""


class Settings(BaseSettings):
    """Settings of training and serving; each field is the environment variable of its alias."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    mlflow_tracking_uri: str = Field(
        default="http://127.0.0.1:8989",
        alias="MLFLOW_TRACKING_URI",
        description="MLflow's address; its user and password are read by MLflow's own client.",
    )
    ray_address: str | None = Field(
        default=None, alias="RAY_ADDRESS", description="The Ray cluster that a job runs in; Ray sets it for its jobs."
    )
    ray_dashboard_url: str | None = Field(
        default=None,
        alias="MANTA_RAY_URL",
        description="Ray's dashboard and Jobs API, for the command line.",
    )
    serve_url: str | None = Field(
        default=None,
        alias="MANTA_SERVE_URL",
        description="Ray Serve's HTTP address without the route prefix, for the command line.",
    )
    ray_token: SecretStr | None = Field(
        default=None, alias="RAY_AUTH_TOKEN", description="Ray's bearer token, for the command line."
    )
    serve_token: SecretStr | None = Field(
        default=None, alias="MANTA_SERVE_TOKEN", description="Bearer token of `/model/load`, for the command line."
    )
    model_name: str = Field(
        default=names.MODEL_NAME,
        alias="MANTA_MODEL_NAME",
        pattern=names.MODEL_NAME_PATTERN,
        description="Registered model that training writes and serving reads.",
    )
    experiment: str = Field(
        default="manta", alias="MANTA_EXPERIMENT", min_length=1, description="MLflow experiment of every run."
    )
    dataset: str = Field(
        default="breast-cancer",
        alias="MANTA_DATASET",
        description="Bundled data set that training takes unless its options name another source.",
    )
    serve_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        alias="MANTA_SERVE_TOKENS",
        description="Bearer tokens accepted by `/model/load`, separated by commas; none means an open door.",
    )
    predict_needs_token: bool = Field(
        default=False,
        alias="MANTA_PREDICT_NEEDS_TOKEN",
        description="Whether `/predict` asks for one of the bearer tokens, too.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        alias="MANTA_WEBHOOK_SECRET",
        min_length=1,
        description="Secret of MLflow's alias webhook to `/model/webhook`; without one there is no such path.",
    )
    git_commit: str = Field(
        default="",
        alias="MANTA_GIT_COMMIT",
        description="Commit of the code that trains, where the working tree has no git of its own.",
    )
    user: str = Field(default="", alias="MANTA_USER", description="Who submitted the job, for the run's tags.")
    stack: str = Field(default="", alias="MANTA_STACK", description="Pulumi stack of the job, for the run's tags.")

    @field_validator("serve_tokens", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(token.strip() for token in value.split(",") if token.strip())
        return value

    @model_validator(mode="after")
    def _door_has_a_key(self) -> Self:
        if self.predict_needs_token and not self.serve_tokens:
            raise ValueError("MANTA_PREDICT_NEEDS_TOKEN is true, and MANTA_SERVE_TOKENS lists no token: set one")
        return self


def environment_of_nobody() -> dict[str, str]:
    """The environment of this process without what leads its programs to a platform."""
    ours = ("MANTA_", "MLFLOW_", "RAY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    for name, value in CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    return Settings()
