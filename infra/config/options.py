"""Every key of the configuration, in the groups of the README's table: type, default and meaning.

`settings.py` reads them from the stack, `checks.py` compares them with each other.
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
    Host,
    ImageReference,
    Minutes,
    NamespaceName,
    ObjectName,
    Port,
    Quantity,
    RayServiceName,
    Secret,
    Words,
)

NO_SECRET = SecretStr("")


class OptionGroup(BaseModel):
    """Keys that belong together; a key is the camel case name of its field."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ClusterOptions(OptionGroup):
    """The cluster, and the place in it."""

    target: Literal["minikube", "cloud"] = Field(
        "minikube", description="Kind of cluster: a local one, or one of several nodes elsewhere."
    )
    context: str = Field(
        "", examples=["minikube"], description="Context of the kubeconfig; the stack touches no other."
    )
    local_contexts: tuple[str, ...] = Field(
        (), description="Further contexts that are local, where neither name nor address shows it."
    )
    kubeconfig: SecretStr = Field(
        NO_SECRET, description="Content of a kubeconfig; empty means the file that kubectl would use."
    )
    cluster_stack: str = Field(
        "", description="Pulumi stack whose output `kubeconfig` is used, as organization/project/stack."
    )
    namespace: NamespaceName = Field("manta", description="Namespace of all workloads; the operator has its own.")
    ray_service_name: RayServiceName = Field(
        names.RAY_SERVICE, description="Name of the RayService and prefix of its Services."
    )


class SizeOptions(OptionGroup):
    """How large the Ray cluster is."""

    cpus: Count = Field(1, description="CPUs of each Ray worker.")
    memory: Quantity = Field("2Gi", description="Memory of each Ray worker.")
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(0, description="NVIDIA GPUs of each Ray worker.")
    min_workers: Count = Field(1, description="Workers that always run.")
    max_workers: Count = Field(2, description="Workers that load may bring.")
    replicas: Count = Field(
        1, description="Copies of the model that serve, one a worker; load brings more, up to `maxWorkers`."
    )
    head_cpus: Quantity = Field("1", description="CPUs of the Ray head, 1 or more; it runs no model and no task.")
    head_memory: Quantity = Field("2Gi", description="Memory of the Ray head.")


class ImageOptions(OptionGroup):
    """Where container images come from."""

    image_builder: Literal["minikube", "docker", "command", "prebuilt"] = Field(
        "minikube",
        description="What makes the Ray image: minikube, docker with a registry, a command, or nobody.",
    )
    image: ImageReference = Field(
        "", examples=["registry.example.com/manta-ray:1.0"], description="The Ray image where it is prebuilt."
    )
    registry: ImageReference = Field(
        "",
        examples=["registry.example.com/ml"],
        description="Registry and path that built images are pushed to.",
    )
    build_command: str = Field(
        "",
        examples=["buildah build -t {image} -f {dockerfile} {arguments} {context} && buildah push {image}"],
        description="Command of the builder `command`, with {image}, {dockerfile}, {arguments} and {context}.",
    )
    base_image: ImageReference = Field(
        "",
        examples=["registry.example.com/python:3.11-slim"],
        description="Image with Python that the built images start from; empty means the official slim one.",
    )
    image_registry: ImageReference = Field(
        "", description="Mirror that takes the place of every public registry, before the image's path."
    )
    image_pull_secret: ObjectName = Field("", description="Secret in the namespaces with registry credentials.")
    operator_image: ImageReference = Field("", description="Replaces the image of the KubeRay operator.")
    redis_image: ImageReference = Field("", description="Replaces the image of Redis.")
    mlflow_image: ImageReference = Field(
        "",
        description="MLflow's image, with `mlflow[auth]`; empty builds ours, or takes a public one if prebuilt.",
    )
    busybox_image: ImageReference = Field("", description="Replaces the image of MLflow's init containers.")


class ChartOptions(OptionGroup):
    """Where Helm charts come from: a name in a repository, an OCI reference, or a local path."""

    kuberay_chart: str = Field(versions.KUBERAY_CHART, min_length=1, description="Chart of the KubeRay operator.")
    kuberay_chart_version: str = Field(versions.KUBERAY_CHART_VERSION, description="Its version.")
    kuberay_chart_repository: str = Field(
        versions.KUBERAY_CHART_REPOSITORY, description="Its repository, where the chart is a name."
    )
    mlflow_chart: str = Field(versions.MLFLOW_CHART, min_length=1, description="Community chart of MLflow.")
    mlflow_chart_version: str = Field(versions.MLFLOW_CHART_VERSION, description="Its version.")
    mlflow_chart_repository: str = Field(
        versions.MLFLOW_CHART_REPOSITORY, description="Its repository, where the chart is a name."
    )
    remove_crds: bool = Field(
        default=False,
        description="Whether a destroy deletes KubeRay's CRDs, and with them every Ray cluster.",
    )

    @property
    def kuberay(self) -> Chart:
        """Chart of the KubeRay operator."""
        return Chart(
            chart=self.kuberay_chart,
            version=self.kuberay_chart_version,
            repository=self.kuberay_chart_repository,
        )

    @property
    def mlflow(self) -> Chart:
        """Chart of MLflow."""
        return Chart(
            chart=self.mlflow_chart,
            version=self.mlflow_chart_version,
            repository=self.mlflow_chart_repository,
        )


class StorageOptions(OptionGroup):
    """What outlives a pod."""

    storage_class: ObjectName = Field("", description="StorageClass of all volumes; empty means the default one.")
    redis_volume_size: Quantity = Field("1Gi", description="Size of Redis' volume.")
    mlflow_volume_size: Quantity = Field("10Gi", description="Size of MLflow's volume.")
    mlflow_backend: Literal["sqlite", "postgres"] = Field("sqlite", description="Database of MLflow.")
    postgres_host: Host = Field("", examples=["db.example.com"], description="Host of Postgres.")
    postgres_port: Port = Field(5432, description="Port of Postgres.")
    postgres_database: str = Field("mlflow", description="Database of runs and models; it must exist.")
    postgres_auth_database: str = Field("mlflow_auth", description="Database of users; it must exist.")
    postgres_user: str = Field("mlflow", min_length=1, description="User of both databases.")
    postgres_password: Secret = Field(NO_SECRET, description="Password of that user.")
    postgres_secret: ObjectName = Field(
        "", examples=["mlflow-postgres"], description="Secret made elsewhere with `username` and `password`."
    )
    artifact_root: Annotated[str, Field(pattern=ARTIFACT_ROOT)] = Field(
        "volume",
        examples=["s3://bucket/path"],
        description="`volume`, or an s3://, gs:// or wasbs:// address.",
    )
    artifact_secret: ObjectName = Field(
        "",
        description="Secret made elsewhere whose keys are MLflow's environment, such as AWS_ACCESS_KEY_ID.",
    )
    mlflow_service_account_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Annotations of MLflow's ServiceAccount, for a cloud's workload identity.",
    )
    mlflow_replicas: Count = Field(1, description="MLflow servers.")
    mlflow_memory: Quantity = Field("1536Mi", description="Memory of each MLflow server.")
    redis: Literal["in-cluster", "external"] = Field("in-cluster", description="Where Ray's state is kept.")
    redis_address: Address = Field(
        "", examples=["redis.example.com:6380"], description="Host and port of external Redis."
    )
    redis_tls: bool = Field(default=True, description="Whether external Redis speaks TLS.")
    redis_password: Secret = Field(NO_SECRET, description="Password of Redis; empty generates one in the cluster.")


class AccessOptions(OptionGroup):
    """How clients reach the platform."""

    access: Literal["port-forward", "nodePort", "ingress"] = Field(
        "port-forward", description="Tunnels from this machine, ports of the nodes, or an Ingress with TLS."
    )
    host: Host = Field("", examples=["manta.example.com"], description="Host name, or a node's address for nodePort.")
    tls: ObjectName = Field("", examples=["manta-tls"], description="TLS Secret for host, ray.host and mlflow.host.")
    ingress_class: str = Field("nginx", min_length=1, description="IngressClass.")
    ingress_namespace: NamespaceName = Field("ingress-nginx", description="Namespace of the ingress controller.")


class AppOptions(OptionGroup):
    """What is served, and the credentials."""

    model_name: Annotated[str, Field(pattern=MODEL)] = Field(
        names.MODEL_NAME, description="Registered model that training writes and serving reads."
    )
    route_prefix: Annotated[str, Field(pattern=ROUTE)] = Field(
        names.ROUTE_PREFIX, description="Path under which the HTTP API answers."
    )
    dataset: str = Field("breast-cancer", min_length=1, description="Data set that training takes by default.")
    ray_token: Secret = Field(NO_SECRET, description="Token of Ray's dashboard and jobs; empty generates one.")
    serve_token: Secret = Field(NO_SECRET, description="Token for /model/load; empty generates one.")
    mlflow_username: Annotated[str, Field(pattern=MODEL)] = Field("admin", description="Administrator of MLflow.")
    mlflow_password: Secret = Field(NO_SECRET, description="Its password; empty generates one.")


class ScheduleOptions(OptionGroup):
    """Retraining by itself."""

    train_schedule: CronSchedule = Field(
        "",
        examples=["0 3 * * *"],
        description="Cron schedule of retraining in UTC, such as `0 3 * * *`; empty means none.",
    )
    train_options: Words = Field(
        "", examples=["--trees 200"], description="Options of a scheduled `manta train`, as a shell takes them."
    )
    train_deadline_minutes: Minutes = Field(60, description="Minutes after which a scheduled training is stopped.")
