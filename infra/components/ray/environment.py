"""The environment variables of every Ray container."""

import json
from collections.abc import Mapping
from operator import itemgetter
from typing import Final

import pulumi
from pulumi_kubernetes import core

from infra import names
from infra.components.ray import haproxy_errors
from infra.components.ray.serve_config import replicas_per_worker
from infra.config import quantities
from infra.config.catalog_options import DEFAULT_SHARE, CatalogOptions
from infra.config.credential_options import CredentialOptions
from infra.config.options import AppOptions, SizeOptions
from infra.config.prediction_log_options import PredictionLogOptions
from infra.config.tracing_options import TracingOptions
from infra.credentials import from_secret

CONTAINER_OUTPUT: Final = "/proc/1/fd/1"
"""Standard output of the container. Ray writes the output of the replicas' processes to files only."""

MAX_PROXY_THREADS: Final = 4
"""Largest number of threads of a worker's HAProxy, which is Ray's default."""


def environment(
    app: AppOptions,
    credentials: CredentialOptions,
    catalog: CatalogOptions,
    prediction_log: PredictionLogOptions,
    tracing: TracingOptions,
    *,
    size: SizeOptions,
    tracking_uri: pulumi.Input[str],
    mlflow_secret: pulumi.Input[str],
    proxy: Mapping[str, str],
    are_secrets_optional: bool = False,
) -> list[core.v1.EnvVarArgs]:
    """Environment variables of the head and of the workers.

    Args:
        app: The registered model, the default data set, whether example rows are shown, whether models are signed,
            whether a version that passes its gate begins a rollout, and the format of the log.
        credentials: Whether predictions need a token, and whether MLflow calls a webhook.
        catalog: The models beside the default model, and the tokens for predictions.
        prediction_log: Where rows and answers are kept, and what begins a retraining.
        tracing: Where traces are sent.
        size: CPUs and memory of a worker.
        tracking_uri: Address of MLflow inside the cluster.
        mlflow_secret: Secret with the MLflow user of the pods.
        proxy: Environment variables of a proxy.
        are_secrets_optional: Whether a container starts without the variables whose Secret is missing.
    """
    values = {
        "MLFLOW_TRACKING_URI": tracking_uri,
        # All artifacts pass through MLflow. By default, MLflow sends clients to an S3 server directly, which the
        # network policies do not allow.
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
        "MANTA_MODEL_NAME": app.model_name,
        "MANTA_DATASET": app.dataset,
        "MANTA_SHOW_EXAMPLES": str(app.show_examples).lower(),
        "MANTA_ROLLOUT": app.rollout,
        "MANTA_JSON_LOG": CONTAINER_OUTPUT if app.log_format == "json" else "",
        "MANTA_MODELS": ",".join(catalog.models),
        "MANTA_MODELS_MEMORY": str(_models_memory_bytes(catalog, size)),
        "MANTA_PREDICTION_LOG": prediction_log.prediction_log,
        "MANTA_PREDICTION_LOG_SHARE": str(prediction_log.prediction_log_percent / 100),
        "MANTA_PREDICTION_LOG_ROWS_PER_SECOND": str(prediction_log.prediction_log_rows_per_second),
        "MANTA_PREDICTION_LOG_COLUMNS": json.dumps(prediction_log.prediction_log_columns),
        "MANTA_PREDICTION_LOG_DAYS": str(prediction_log.prediction_log_days),
        "MANTA_RETRAIN_ON": prediction_log.retrain_on,
        "MANTA_OTLP_ENDPOINT": tracing.otlp_endpoint,
        "MANTA_TRACE_SHARE": str(tracing.trace_percent / 100) if tracing.otlp_endpoint else "",
        "MANTA_PREDICT_NEEDS_TOKEN": str(credentials.predict_needs_token).lower(),
        "HOME": "/tmp",  # noqa: S108  (the only folder that the image's user may write to)
        "RAY_AUTH_MODE": "token",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # The replicas count their requests themselves. HAProxy would log one line per request to a Python process,
        # which needs a quarter of a response's time to read the line.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # More threads than CPUs only take turns.
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(MAX_PROXY_THREADS, size.cpus)),
        # HAProxy sends one line per request to this address, where nothing listens: one of a million is enough.
        "RAY_SERVE_HAPROXY_LOG_TARGET": "127.0.0.1:514 sample 1:1000000",
        # uvloop accepts one connection per iteration, so 256 new connections wait for seconds. asyncio accepts all.
        "RAY_USE_UVLOOP": "0",
        # The replica handles each request in one thread, without a handover between two event loops.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        # HAProxy drops a silent client after the service's limit of 30 s for a body, so that the service answers first.
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "40",
        haproxy_errors.VARIABLE: haproxy_errors.balance_setting(),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": names.MIDDLEWARE_IMPORT_PATH,
        "RAY_USAGE_STATS_ENABLED": "0",
        **proxy,
    }
    secret_keys: dict[str, tuple[pulumi.Input[str], str]] = {
        "MLFLOW_TRACKING_USERNAME": (mlflow_secret, names.USERNAME_KEY),
        "MLFLOW_TRACKING_PASSWORD": (mlflow_secret, names.PASSWORD_KEY),
        "MANTA_SERVE_TOKENS": (names.SERVE_SECRET, names.SERVE_SECRET_KEY),
    }
    if credentials.webhook_secret.get_secret_value():
        secret_keys["MANTA_WEBHOOK_SECRET"] = (names.SERVE_SECRET, names.WEBHOOK_SECRET_KEY)
    if catalog.predict_tokens.get_secret_value():
        secret_keys["MANTA_PREDICT_TOKENS"] = (names.SERVE_SECRET, names.PREDICT_TOKENS_KEY)
    if tracing.otlp_headers.get_secret_value():
        secret_keys["OTEL_EXPORTER_OTLP_HEADERS"] = (names.SERVE_SECRET, names.OTLP_HEADERS_KEY)
    if app.allow_pickle:
        secret_keys["MANTA_MODEL_KEY"] = (names.MODEL_SECRET, names.MODEL_SECRET_KEY)
    return [
        # KubeRay writes the spec back without empty values, which the next `pulumi up` would set again.
        *(core.v1.EnvVarArgs(name=name, value=value) for name, value in sorted(values.items()) if value != ""),
        *(
            core.v1.EnvVarArgs(name=name, value_from=from_secret(secret, key, is_optional=are_secrets_optional))
            for name, (secret, key) in sorted(secret_keys.items(), key=itemgetter(0))
        ),
    ]


def _models_memory_bytes(catalog: CatalogOptions, size: SizeOptions) -> int:
    """Bytes of one replica for models beside the default model."""
    if catalog.models_memory:
        return int(quantities.value(catalog.models_memory))
    return int(quantities.value(size.memory) / replicas_per_worker(size) / DEFAULT_SHARE)
