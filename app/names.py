"""The names by which the two halves of the project meet: what a deployment must set, and what a client finds.

`infra` writes the same names into the RayService and the Secrets; a test holds both sides together.
"""

from typing import Final

IMPORT_PATH: Final = "app.serving.application:build"
"""Ray Serve's import path of the application builder."""

APPLICATION: Final = "manta"
"""Name of the Serve application."""

DEPLOYMENT: Final = "ModelServer"
"""Name of the Serve deployment that holds the model and the HTTP ingress."""

SWITCHOVER: Final = "switchover"
"""Name of the Serve application, and of its deployment, that an upgrade of the cluster waits for."""

SWITCHOVER_IMPORT_PATH: Final = "app.serving.upgrade_barrier:build"
"""Its import path."""

INGRESS_IMPORT_PATH: Final = "app.serving.middleware:middlewares"
"""What Serve's HTTP servers wrap the applications in."""

ROUTE_PREFIX: Final = "/fastapi_app"
"""Path under which the HTTP API answers."""

MODEL_NAME: Final = "RandomForestClassifierModel"
"""Registered model that training writes and serving reads."""

CHAMPION: Final = "champion"
"""MLflow alias of the version that serves."""

SERVING_LOG: Final = "ray.serve.manta"
"""Logger of what serves, below Ray Serve's own."""

TRAIN_MODULE: Final = "app.train"
"""What a Ray job runs: `python -m app.train`."""

MODEL_NAME_PATTERN: Final = r"^[^/:'\"`\x00-\x1f]+$"
"""What MLflow takes as a model's name, less the quotes of its search language."""
