"""Every configuration key of a stack: type, default and meaning, in groups.

`Pulumi.yaml` declares the same keys, and a test compares the two. `settings.py` reads the values of a stack;
`checks.py` compares values with each other.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from infra import names, versions
from infra.config.chart import Chart
from infra.config.vocabulary import (
    ARTIFACT_ROOT,
    MODEL,
    ROUTE,
    Address,
    Count,
    CronSchedule,
    DatabaseName,
    Host,
    LoadSeconds,
    Minutes,
    NamespaceName,
    ObjectName,
    Port,
    Quantity,
    RayServiceName,
    Secret,
    ServiceSecret,
    ShellArguments,
)

NO_SECRET = SecretStr("")


class OptionGroup(BaseModel):
    """A group of keys. A key is the camel case form of the field's name."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class NestedOptions(BaseModel):
    """The value of a key of type object, or one item of an array of objects."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ClusterOptions(OptionGroup):
    """The cluster that the stack deploys to."""

    profile: Literal["none", "laptop", "small", "production"] = Field(
        "none",
        examples=["small"],
        description="Other defaults for a kind of stack: `laptop` for Minikube, `small` for a cloud cluster without "
        "other services, `production` for one with Postgres, an object store and an Ingress. A key that the stack sets "
        "keeps its value.",
    )
    target: Literal["minikube", "cloud"] = Field(
        "minikube",
        description=(
            "Kind of cluster: `minikube` for a cluster on this machine, `cloud` for a cluster elsewhere with "
            "several nodes."
        ),
    )
    context: str = Field(
        "",
        examples=["minikube"],
        description="Context of the kubeconfig that the stack deploys to. The stack touches no other cluster.",
    )
    local_contexts: tuple[str, ...] = Field(
        (), description="Additional contexts that count as local, although their names and addresses do not show it."
    )
    kubeconfig: SecretStr = Field(NO_SECRET, description="Content of a kubeconfig. Empty: the file that kubectl reads.")
    cluster_stack: str = Field(
        "",
        description="Pulumi stack (organization/project/stack) that provides the cluster in its output `kubeconfig`.",
    )
    namespace: NamespaceName = Field(
        "manta", description="Namespace of all workloads. The KubeRay operator has a separate namespace."
    )
    ray_service_name: RayServiceName = Field(
        names.RAY_SERVICE, description="Name of the RayService, and prefix of its Services."
    )


class SizeOptions(OptionGroup):
    """Size of the Ray cluster."""

    cpus: Count = Field(1, description="CPUs of each Ray worker.")
    memory: Quantity = Field("2Gi", description="Memory of each Ray worker.")
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(0, description="NVIDIA GPUs of each Ray worker.")
    min_workers: Count = Field(1, description="Minimum number of Ray workers.")
    max_workers: Count = Field(2, description="Maximum number of Ray workers.")
    replicas: Count = Field(
        1,
        description=(
            "Minimum number of Ray workers that serve. Each has one Serve replica for every two CPUs, if it has a "
            "gibibyte of memory for each. Autoscaling adds more, up to `maxWorkers`."
        ),
    )
    head_cpus: Quantity = Field(
        "1", description="CPUs of the Ray head, at least 1. The head runs no replica and no Ray task."
    )
    head_memory: Quantity = Field("2Gi", description="Memory of the Ray head.")


class ChartOptions(OptionGroup):
    """Helm charts."""

    kuberay_chart: str = Field(
        versions.KUBERAY_CHART,
        min_length=1,
        description=(
            "Helm chart of the KubeRay operator: a name in the repository, an oci:// reference, or a local path."
        ),
    )
    kuberay_chart_version: str = Field(versions.KUBERAY_CHART_VERSION, description="Version of the KubeRay chart.")
    kuberay_chart_repository: str = Field(
        versions.KUBERAY_CHART_REPOSITORY,
        description="Helm repository of the KubeRay chart, if `kuberayChart` is a name.",
    )
    mlflow_chart: str = Field(
        versions.MLFLOW_CHART,
        min_length=1,
        description="Community Helm chart of MLflow: a name in the repository, an oci:// reference, or a local path.",
    )
    mlflow_chart_version: str = Field(versions.MLFLOW_CHART_VERSION, description="Version of the MLflow chart.")
    mlflow_chart_repository: str = Field(
        versions.MLFLOW_CHART_REPOSITORY, description="Helm repository of the MLflow chart, if `mlflowChart` is a name."
    )
    remove_crds: bool = Field(
        default=False,
        description=(
            "Whether `pulumi destroy` also deletes KubeRay's CRDs, and with them every Ray cluster of the "
            "Kubernetes cluster. With `monitoring: install`, also the CRDs of the Prometheus operator."
        ),
    )

    @property
    def kuberay(self) -> Chart:
        """Chart of the KubeRay operator."""
        return Chart(
            chart=self.kuberay_chart,
            version=self.kuberay_chart_version,
            repository=self.kuberay_chart_repository,
            key="kuberayChart",
        )

    @property
    def mlflow(self) -> Chart:
        """Chart of MLflow."""
        return Chart(
            chart=self.mlflow_chart,
            version=self.mlflow_chart_version,
            repository=self.mlflow_chart_repository,
            key="mlflowChart",
        )


class StorageOptions(OptionGroup):
    """Storage: volumes, MLflow and Redis."""

    storage_class: ObjectName = Field("", description="StorageClass of all volumes. Empty: the cluster's default.")
    keep_data: bool = Field(
        default=False,
        description=(
            "Whether Pulumi refuses to delete what holds data: the namespace of the workloads, and MLflow's volume."
        ),
    )
    redis_volume_size: Quantity = Field("1Gi", description="Size of Redis' volume.")
    mlflow_volume_size: Quantity = Field("10Gi", description="Size of MLflow's volume.")
    mlflow_backend: Literal["sqlite", "postgres"] = Field("sqlite", description="Database of MLflow.")
    postgres_host: Host = Field("", examples=["db.example.com"], description="Host name of Postgres.")
    postgres_port: Port = Field(5432, description="Port of Postgres.")
    postgres_database: DatabaseName = Field("mlflow", description="Existing database for runs and registered models.")
    postgres_auth_database: DatabaseName = Field("mlflow_auth", description="Existing database for MLflow's users.")
    postgres_user: str = Field("mlflow", min_length=1, description="User of both databases.")
    postgres_password: ServiceSecret = Field(NO_SECRET, description="Password of `postgresUser`.")
    postgres_secret: ObjectName = Field(
        "",
        examples=["mlflow-postgres"],
        description="Existing Secret with the keys `username` and `password`, in place of `postgresPassword`.",
    )
    artifact_root: Annotated[str, Field(pattern=ARTIFACT_ROOT)] = Field(
        "volume",
        examples=["s3://bucket/path"],
        description="Where MLflow stores artifacts: `volume`, or an s3://, gs:// or wasbs:// address.",
    )
    artifact_secret: ObjectName = Field(
        "",
        description="Existing Secret whose keys become environment variables of MLflow, such as AWS_ACCESS_KEY_ID.",
    )
    mlflow_service_account_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Annotations of MLflow's ServiceAccount, for workload identity.",
    )
    mlflow_replicas: Count = Field(1, description="Number of MLflow servers.")
    mlflow_memory: Quantity = Field("1536Mi", description="Memory of each MLflow server.")
    redis: Literal["in-cluster", "external"] = Field(
        "in-cluster",
        description="Where Ray keeps the state of its head: in a Redis of this stack, or in an external one.",
    )
    redis_address: Address = Field(
        "", examples=["redis.example.com:6380"], description="Host and port of the external Redis."
    )
    redis_tls: bool = Field(default=True, description="Whether the external Redis uses TLS.")
    redis_password: ServiceSecret = Field(
        NO_SECRET,
        description="Password of Redis. Empty: generated for the Redis of this stack, none for an external Redis.",
    )


class AppOptions(OptionGroup):
    """The application, and its credentials."""

    model_name: Annotated[str, Field(pattern=MODEL)] = Field(
        names.MODEL_NAME, description="Registered model that training writes and the service loads."
    )
    route_prefix: Annotated[str, Field(pattern=ROUTE)] = Field(
        names.ROUTE_PREFIX, description="URL path of the HTTP API."
    )
    dataset: str = Field(
        "breast-cancer", min_length=1, description="Data set that training uses if its options name none."
    )
    show_examples: bool = Field(
        default=True,
        description="Whether `GET /model` and `/openapi.json` show held-out rows with their labels, and a shadow or a "
        "replay of the log rows whose answers differ.",
    )
    allow_pickle: bool = Field(
        default=False,
        description="Whether training stores models with classes of the user as pickles that it signs, and the service "
        "loads those. Loading a pickle runs code from the file.",
    )
    rollout: Literal["manual", "auto"] = Field(
        "manual",
        description="What training does with a version that passes its gate. `manual`: the version becomes the "
        "champion at once. `auto`: a rollout of the version begins.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="`json`: the replicas also write their log to the output of their pods, one JSON object a line. "
        "`text`: they write it to Ray's log files only.",
    )
    load_timeout_seconds: LoadSeconds = Field(
        120, description="Seconds in which a replica must have downloaded, checked and compiled a model version."
    )
    ray_token: Secret = Field(NO_SECRET, description="Bearer token of Ray's dashboard and Jobs API. Empty: generated.")
    serve_token: Secret = Field(NO_SECRET, description="Bearer token of `/model/load`. Empty: generated.")
    mlflow_username: Annotated[str, Field(pattern=MODEL)] = Field(
        "admin", description="User name of MLflow's administrator."
    )
    mlflow_password: Secret = Field(NO_SECRET, description="Password of MLflow's administrator. Empty: generated.")


class ScheduleOptions(OptionGroup):
    """Scheduled training."""

    train_schedule: CronSchedule = Field(
        "",
        examples=["0 3 * * *"],
        description="Cron schedule of retraining, in UTC, such as `0 3 * * *`. Empty: no scheduled training.",
    )
    train_options: ShellArguments = Field(
        "", examples=["--trees 200"], description="Options of the scheduled `manta train`, quoted as in a shell."
    )
    train_deadline_minutes: Minutes = Field(
        60,
        description="Minutes after which a scheduled training is stopped. With `driftSchedule`, a judgement and the "
        "training that it begins have an hour more.",
    )
