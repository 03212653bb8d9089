"""The names of objects in the cluster, and the names that the application and the Pulumi program share.

`app/names.py` repeats the shared names, because `app` and `infra` do not import each other; a test compares them.
"""

from typing import Final

PART_OF: Final = "manta"
"""Value of the label `app.kubernetes.io/part-of` on every object of the stack."""

IMPORT_PATH: Final = "app.serving.application:build"
"""Import path of the Serve application's builder."""
APPLICATION: Final = "manta"
"""Name of the Serve application."""
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
"""Default of `routePrefix`."""
MODEL_NAME: Final = "RandomForestClassifierModel"
"""Default of `modelName`."""

RAY_SERVICE: Final = "manta"
"""Default of `rayServiceName`."""
WORKER_GROUP: Final = "workers"

RAY: Final = "ray"
"""ServiceAccount of the Ray workers."""
TRAINING: Final = "training"
"""ServiceAccount of the Ray workers that only train."""
OPERATOR: Final = "kuberay-operator"
REDIS: Final = "redis"
MLFLOW: Final = "mlflow"
PROMETHEUS: Final = "prometheus-operated"
"""Service that the Prometheus operator creates for the pods of a Prometheus."""
GRAFANA: Final = "grafana"
TRAIN_SCHEDULE: Final = "train-schedule"
DRIFT_SCHEDULE: Final = "drift-schedule"
CHECK: Final = "check-dependencies"
"""Name of the Job that checks what Ray needs."""

# S105 takes these names for passwords; the passwords themselves are in the Secrets only.
RAY_SECRET: Final = "ray-auth"  # noqa: S105
"""Prefix of the Secret's name; a checksum of the token follows."""
RAY_SECRET_KEY: Final = "auth_token"  # noqa: S105
"""KubeRay prescribes this key: it reads the token from it in the Secret of `authOptions.secretName`."""
SERVE_SECRET: Final = "serve-auth"  # noqa: S105
SERVE_SECRET_KEY: Final = "tokens"  # noqa: S105
PREDICT_TOKENS_KEY: Final = "predict-tokens"
"""Key of `SERVE_SECRET` with the tokens for predictions."""
OTLP_HEADERS_KEY: Final = "otlp-headers"
"""Key of `SERVE_SECRET` with the headers of requests to the receiver of traces."""
WEBHOOK_SECRET_KEY: Final = "webhook"  # noqa: S105
MODEL_SECRET: Final = "model-auth"  # noqa: S105
MODEL_SECRET_KEY: Final = "key"  # noqa: S105
REDIS_SECRET: Final = "redis-auth"  # noqa: S105
MLFLOW_SECRET: Final = "mlflow-auth"  # noqa: S105
MLFLOW_CLIENT_SECRET: Final = "mlflow-client"  # noqa: S105
"""Prefix of the name of the Secret with the MLflow user of Ray's pods; a checksum follows."""
WEBHOOK_SECRET: Final = "mlflow-webhook"  # noqa: S105
POSTGRES_SECRET: Final = "mlflow-postgres"  # noqa: S105
OIDC_SECRET: Final = "mlflow-oidc"  # noqa: S105
OIDC_SECRET_KEY: Final = "client-secret"  # noqa: S105
"""Key of `OIDC_SECRET` with the client secret at the OIDC provider."""
GRAFANA_SECRET: Final = "grafana-admin"  # noqa: S105
USERNAME_KEY: Final = "username"
PASSWORD_KEY: Final = "password"  # noqa: S105

GCS_PORT: Final = 6379
DASHBOARD_PORT: Final = 8265
SERVE_PORT: Final = 8000
REDIS_PORT: Final = 6379
MLFLOW_PORT: Final = 5000
PROMETHEUS_PORT: Final = 9090
GRAFANA_PORT: Final = 80
"""Port of Grafana's Service."""
GRAFANA_POD_PORT: Final = 3000
HAPROXY_METRICS_PORT: Final = 9101
"""Ray's default for the port with HAProxy's own metrics."""
HAPROXY_PORT_NAME: Final = "haproxy"
METRICS_PORT_NAME: Final = "metrics"
"""Port with Ray's metrics. KubeRay adds it to every Ray container."""

KUBERAY_MAX_NAME: Final = 47
"""Longest RayService name that KubeRay accepts: its suffixes extend the name up to the 63 characters of a DNS label."""
MAX_NAMESPACE: Final = 63 - len("-operator")
"""Longest namespace for which the operator's namespace is still a DNS label."""
MAX_RELEASE: Final = 53
"""Longest name of a Helm release."""


def head_service(ray_service: str) -> str:
    """Name of the Service that KubeRay points to the head of the active Ray cluster."""
    return f"{ray_service}-head-svc"


def serve_service(ray_service: str) -> str:
    """Name of the Service that KubeRay points to the workers that are ready to serve."""
    return f"{ray_service}-serve-svc"


def operator_namespace(namespace: str) -> str:
    """Namespace of the operator for a namespace of workloads."""
    return f"{namespace}-operator"


def monitoring_namespace(namespace: str) -> str:
    """Namespace of the stack's Prometheus and Grafana, and name of their Helm release, for a namespace of workloads."""
    return f"{namespace}-monitoring"
