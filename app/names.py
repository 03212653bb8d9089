"""Names that several parts of the app use, or that the app shares with `infra` or with clients.

`infra/names.py` repeats the names that the stack writes into the RayService and its Secrets. A test compares the two.
"""

from typing import Final

IMPORT_PATH: Final = "app.serving.application:build"
"""Import path of the Serve application builder."""

APPLICATION: Final = "manta"
"""Name of the Serve application that serves the model."""

DEPLOYMENT: Final = "ModelServer"
"""Name of the Serve deployment that holds the model and the HTTP ingress."""

UPGRADE_BARRIER: Final = "upgrade-barrier"
"""Name of the Serve application, and of its deployment, that delays an upgrade until the workers take requests."""

UPGRADE_BARRIER_IMPORT_PATH: Final = "app.serving.upgrade_barrier:build"
"""Import path of the upgrade barrier's builder."""

REPLICA_RESOURCE: Final = "replica"
"""Ray's name for what a replica takes of a worker that only serves. Such a worker offers no CPU."""

MIDDLEWARE_IMPORT_PATH: Final = "app.serving.middleware:middlewares"
"""Import path of the middleware of Serve's HTTP proxies and replicas."""

ROUTE_PREFIX: Final = "/fastapi_app"
"""Path prefix of the HTTP API."""

MODEL_NAME: Final = "RandomForestClassifierModel"
"""Default name of the registered model that training writes and serving reads."""

CHAMPION: Final = "champion"
"""MLflow alias of the model version that serves."""

CHALLENGER: Final = "challenger"
"""MLflow alias of the model version that takes a share of the traffic."""

SHADOW: Final = "shadow"
"""MLflow alias of the model version that answers copies of requests."""

PREVIOUS: Final = "previous"
"""MLflow alias of the champion before the last rollout."""

SERVING_LOG: Final = "ray.serve.manta"
"""Name of the logger of all serving code. It is a child of Ray Serve's logger."""

NOT_READY_MESSAGE: Final = "not ready until MLflow's alias names a version that can serve"
"""Beginning of the log line of a replica that has no version to serve. `manta doctor` looks for it."""

TRAIN_MODULE: Final = "app.train"
"""Module that a training job runs: `python -m app.train`."""

DATA_FINGERPRINT_TAG: Final = "data.fingerprint"
"""Tag in MLflow of the run of every training. The trials of a search have runs without it."""

RETRAIN_JUDGEMENT_TAG: Final = "retrain.judgement"
"""Tag in MLflow of a training that a judgement of drift began: the run of the judgement."""

LOG_OFF: Final = "off"
LOG_IN_MLFLOW: Final = "mlflow"
"""Where the prediction log is kept, beside a URL."""

PREDICTION_LOG_PATTERN: Final = (
    r"^(off|mlflow|(s3|gs)://[^/:@?\s]+/[^:@?\s]+(\?[^@\s]*)?"
    r"|abfss?://[^/:@?\s]+@[^/:@?\s]+/[^:@?\s]+(\?[^@\s]*)?)$"
)
"""Where the prediction log can be kept. A URL holds no user, no password and no space."""

TRACES_IN_MLFLOW: Final = "mlflow"
"""Endpoint of traces that stands for the MLflow of the platform."""

OTLP_ENDPOINT_PATTERN: Final = r"^(mlflow|https?://[^/\s:@]+(:[0-9]{1,5})?(/\S*)?)?$"
"""Where traces can go; empty for no traces. A URL holds no user, no password and no space."""

MODEL_NAME_PATTERN: Final = r"^[^/:'\"`\x00-\x1f]+$"
"""Valid names of registered models: those that MLflow accepts, without the quotes of its search syntax."""
