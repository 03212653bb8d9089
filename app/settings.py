"""Settings of training, serving and the command line, from environment variables. No other module reads them."""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app import names
from app.setting_values import DvcFile, PredictToken

CLIENT_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # with exponential backoff; MLflow's default of 7 takes minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds without a byte from the server
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a progress bar fills a log file
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each trial of a search otherwise
    "RAY_AIR_NEW_OUTPUT": "0",  # Ray Tune prints its status tables at any verbosity otherwise
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials are recorded in MLflow instead
}
"""Environment variables of MLflow's client and Ray Tune, set unless the environment already sets them."""

LOADING_DEFAULTS: Final = {
    "JOBLIB_MULTIPROCESSING": "0",  # an estimator with n_jobs would start processes
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Environment variables of the process that loads models. Threads of libraries do not survive its forks."""


class Settings(BaseSettings):
    """Settings of this process. The alias of each field is the name of its environment variable."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    mlflow_tracking_uri: str = Field(
        default="http://127.0.0.1:8989", alias="MLFLOW_TRACKING_URI", description="URL of MLflow."
    )
    mlflow_user: str = Field(
        default="", alias="MLFLOW_TRACKING_USERNAME", description="User of MLflow, if MLflow has users."
    )
    mlflow_password: SecretStr = Field(
        default=SecretStr(""), alias="MLFLOW_TRACKING_PASSWORD", description="Password of that user."
    )
    ray_address: str | None = Field(
        default=None,
        alias="RAY_ADDRESS",
        description="Address of the Ray cluster that a job runs in. Ray sets it for its jobs.",
    )
    ray_dashboard_url: str | None = Field(
        default=None,
        alias="MANTA_RAY_URL",
        description="URL of Ray's dashboard and Jobs API, for the command line.",
    )
    serve_url: str | None = Field(
        default=None,
        alias="MANTA_SERVE_URL",
        description="URL of the HTTP API with its route prefix, for the command line. Without a path: `/fastapi_app`.",
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
        description="Bundled data set that training uses unless its options name another source.",
    )
    serve_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        alias="MANTA_SERVE_TOKENS",
        description="Bearer tokens that `/model/load` accepts, separated by commas. Empty: no token is required.",
    )
    predict_needs_token: bool = Field(
        default=False,
        alias="MANTA_PREDICT_NEEDS_TOKEN",
        description="Whether `/predict` requires one of the bearer tokens too.",
    )
    predict_tokens: Annotated[tuple[PredictToken, ...], NoDecode] = Field(
        default=(),
        alias="MANTA_PREDICT_TOKENS",
        description="Further bearer tokens that only predictions accept, separated by commas: `TOKEN` for all models, "
        "`MODEL:TOKEN` for one model.",
    )
    show_examples: bool = Field(
        default=True,
        alias="MANTA_SHOW_EXAMPLES",
        description="Whether `/model` and `/openapi.json` show example rows with their labels, and a shadow or a "
        "replay of the log rows whose answers differ. If `/predict` requires a token, the service shows them only with "
        "that token.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        alias="MANTA_WEBHOOK_SECRET",
        min_length=1,
        description="Secret that signs MLflow's webhook to `/model/webhook`. Unset: the path does not exist.",
    )
    model_cache: Path = Field(
        default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta" / "models",
        alias="MANTA_MODEL_CACHE",
        description="Folder on a replica's node for the copy of the version that served last. "
        "Default: `manta/models` in the user's cache folder.",
    )
    json_log: Path | None = Field(
        default=None,
        alias="MANTA_JSON_LOG",
        description="File to which each replica appends its log as JSON lines. Default: none.",
    )
    model_key: SecretStr | None = Field(
        default=None,
        alias="MANTA_MODEL_KEY",
        min_length=32,
        description="Key that signs models with classes of the user. Unset: such models are neither stored nor loaded.",
    )
    models: Annotated[tuple[Annotated[str, Field(pattern=names.MODEL_NAME_PATTERN)], ...], NoDecode] = Field(
        default=(),
        alias="MANTA_MODELS",
        description="Registered models that the service serves beside its default model, separated by commas. Empty: "
        "all models with the tag `manta.serve=true`.",
    )
    models_memory: int | None = Field(
        default=None,
        alias="MANTA_MODELS_MEMORY",
        gt=0,
        description="Bytes of memory that one replica uses for models beside the default model. Default: half of the "
        "memory of the container or machine.",
    )
    prediction_log: str = Field(
        default=names.LOG_OFF,
        alias="MANTA_PREDICTION_LOG",
        pattern=names.PREDICTION_LOG_PATTERN,
        description="Where the service keeps the rows that it predicts and its answers: `off`, `mlflow` (artifacts of "
        "one run per day), or a folder such as `s3://bucket/folder`.",
    )
    prediction_log_share: float = Field(
        default=1.0,
        alias="MANTA_PREDICTION_LOG_SHARE",
        gt=0,
        le=1,
        description="Share of the prediction requests that are kept, chosen at random.",
    )
    prediction_log_rows_per_second: int = Field(
        default=1_000,
        alias="MANTA_PREDICTION_LOG_ROWS_PER_SECOND",
        ge=0,
        description="Rows that each replica keeps in a second, on average. If it predicts more, it keeps a random "
        "share of the requests. 0: no limit.",
    )
    prediction_log_columns: tuple[str, ...] = Field(
        default=(),
        alias="MANTA_PREDICTION_LOG_COLUMNS",
        description="JSON list of the columns of the rows that are kept. Empty: all columns.",
    )
    prediction_log_days: int = Field(
        default=30,
        alias="MANTA_PREDICTION_LOG_DAYS",
        ge=1,
        le=3650,
        description="Days that the prediction log is kept. Older days are deleted.",
    )
    otlp_endpoint: str = Field(
        default="",
        alias="MANTA_OTLP_ENDPOINT",
        pattern=names.OTLP_ENDPOINT_PATTERN,
        description="Receiver of traces: `mlflow`, or the URL of an OTLP receiver over HTTP. Empty: no traces.",
    )
    trace_share: float = Field(
        default=1.0,
        alias="MANTA_TRACE_SHARE",
        ge=0,
        le=1,
        description="Share of the predictions that are traced, chosen at random. A prediction whose header "
        "`traceparent` asks for a trace is always traced.",
    )
    rollout: Literal["manual", "auto"] = Field(
        default="manual",
        alias="MANTA_ROLLOUT",
        description="What training does with a version that passes its gate. `manual`: the version becomes the "
        "champion at once. `auto`: a rollout of the version begins.",
    )
    retrain_on: Literal["score", "drift", "never"] = Field(
        default="score",
        alias="MANTA_RETRAIN_ON",
        description="What begins a training after two scheduled judgements of drift in succession: `score` (a score "
        "fell), `drift` (any alarm), or `never`.",
    )
    git_commit: str = Field(
        default="",
        alias="MANTA_GIT_COMMIT",
        description="Commit of the training code, for a working directory that is not a git repository.",
    )
    user: str = Field(default="", alias="MANTA_USER", description="User who submitted the job, for the run's tags.")
    retrain_judgement: str = Field(
        default="",
        alias="MANTA_RETRAIN_JUDGEMENT",
        description="Run of the judgement of drift that began the job, for the run's tags. The schedule sets it.",
    )
    driver_memory_bytes: int | None = Field(
        default=None,
        alias="MANTA_DRIVER_MEMORY",
        gt=0,
        description="Bytes of memory that the job reserved on its worker. `manta train --driver-memory` sets it.",
    )
    dvc_file: DvcFile | None = Field(
        default=None,
        alias="MANTA_DVC_FILE",
        description="JSON that says where a job on a cluster finds the file of `--data dvc:`. `manta train` sets it.",
    )
    stack: str = Field(default="", alias="MANTA_STACK", description="Pulumi stack of the job, for the run's tags.")

    @field_validator("serve_tokens", "models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("predict_tokens", mode="before")
    @classmethod
    def _split_predict_tokens(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip().rpartition(":") for part in value.split(",") if part.strip()]
        return tuple({"model": model, "token": token} for model, _, token in parts)

    @model_validator(mode="after")
    def _token_is_set(self) -> Self:
        if self.predict_needs_token and not self.serve_tokens:
            raise ValueError("MANTA_PREDICT_NEEDS_TOKEN is true but MANTA_SERVE_TOKENS is empty: set a token there")
        if self.predict_tokens and not self.predict_needs_token:
            raise ValueError("MANTA_PREDICT_TOKENS is set but MANTA_PREDICT_NEEDS_TOKEN is false: set it to true")
        return self


class DependencySettings(BaseSettings):
    """Where the services are that Ray depends on, as KubeRay, Kubernetes and the stack say it to every Ray head."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    mlflow_tracking_uri: str = Field(default="http://127.0.0.1:8989", alias="MLFLOW_TRACKING_URI")
    mlflow_user: str = Field(default="", alias="MLFLOW_TRACKING_USERNAME")
    mlflow_password: SecretStr = Field(default=SecretStr(""), alias="MLFLOW_TRACKING_PASSWORD")
    experiment: str = Field(default="manta", alias="MANTA_EXPERIMENT")
    redis_address: str = Field(default="", alias="RAY_REDIS_ADDRESS")
    redis_user: str = Field(default="", alias="REDIS_USERNAME")
    redis_password: SecretStr = Field(default=SecretStr(""), alias="REDIS_PASSWORD")
    redis_authorities: str = Field(default="", alias="RAY_REDIS_CA_CERT")
    api_server_host: str = Field(default="", alias="KUBERNETES_SERVICE_HOST")
    api_server_port: int = Field(default=443, alias="KUBERNETES_SERVICE_PORT")


def set_mlflow_credentials(user: str, password: str) -> None:
    """Give user and password to MLflow's client, which reads them from the environment of this process."""
    os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def set_kubeconfig(file: Path) -> None:
    """Let every `kubectl` that this process starts read a kubeconfig."""
    os.environ["KUBECONFIG"] = str(file)


def empty_environment() -> dict[str, str]:
    """Copy the environment of this process without the variables of manta, MLflow and Ray.

    A program that is started with it connects to no MLflow server and no Ray cluster by accident.
    """
    prefixes = ("MANTA_", "MLFLOW_", "RAY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def loading_environment(package_folder: Path) -> dict[str, str]:
    """Build the environment of the process that loads models: that of this process without Ray, and with one thread.

    Args:
        package_folder: Folder of the package `app`, which Ray may have added to the path of this process only.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = os.pathsep.join(part for part in (str(package_folder), inherited.get("PYTHONPATH", "")) if part)
    return CLIENT_DEFAULTS | inherited | LOADING_DEFAULTS | {"PYTHONPATH": path}


@cache
def settings() -> Settings:
    """Read the settings of this process once, and set `CLIENT_DEFAULTS`."""
    for name, value in CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    return Settings()
