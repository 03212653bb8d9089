"""Checks that compare several values of a stack. Each problem names the command that corrects it."""

from collections.abc import Iterator
from typing import Final

from infra import names
from infra.config import quantities
from infra.config.access_options import AccessOptions
from infra.config.connection_options import ConnectionOptions
from infra.config.image_options import ImageOptions
from infra.config.options import ClusterOptions, SizeOptions, StorageOptions
from infra.config.problem import Problem, quoted, secret_command
from infra.config.vocabulary import SECRET, SECRET_MIN_LENGTH
from infra.config.worker_options import TRAIN, WorkerOptions

GIBIBYTE: Final = 1024**3
MIN_WORKER_BYTES: Final = 1.5 * GIBIBYTE
"""The raylet, its agents, one replica with its loading process, and the driver of a job on a small data set. Below this
Ray's memory monitor kills tasks."""
MIN_HEAD_BYTES: Final = GIBIBYTE
"""GCS, the dashboard with its modules, and the proxy."""
MIN_HEAD_CPUS: Final = 1
"""Ray gives up after a start of 30 s, and half a CPU needs that long on a busy machine."""
MIN_MLFLOW_BYTES: Final = 0.75 * GIBIBYTE
"""One MLflow worker process uses 0.8 GB."""


def problems(
    *,
    cluster: ClusterOptions,
    size: SizeOptions,
    workers: WorkerOptions,
    images: ImageOptions,
    storage: StorageOptions,
    connections: ConnectionOptions,
    access: AccessOptions,
) -> Iterator[Problem]:
    """Yield every contradiction between the values of a stack."""
    yield from _cluster(cluster)
    yield from _size(size, storage)
    yield from _workers(workers, size)
    yield from _images(images, cluster)
    yield from _mlflow(storage)
    yield from _postgres(storage, connections)
    yield from _redis(storage, connections)
    yield from _artifacts(storage, connections)
    yield from _access(access)


def _cluster(cluster: ClusterOptions) -> Iterator[Problem]:
    if not cluster.context and not cluster.cluster_stack:
        reason = "not set; choose the cluster to deploy to (kubectl config get-contexts lists the contexts)"
        yield Problem("context", reason, "pulumi config set context minikube")
    if cluster.cluster_stack and cluster.kubeconfig.get_secret_value():
        yield Problem("kubeconfig", "set, and clusterStack provides a kubeconfig too", "pulumi config rm kubeconfig")
    if cluster.cluster_stack and cluster.target == "minikube":
        reason = "given minikube, but the cluster of clusterStack is not a local cluster"
        yield Problem("target", reason, "pulumi config set target cloud")


def _size(size: SizeOptions, storage: StorageOptions) -> Iterator[Problem]:
    for key, quantity, minimum in (
        ("memory", size.memory, MIN_WORKER_BYTES),
        ("headMemory", size.head_memory, MIN_HEAD_BYTES),
        ("mlflowMemory", storage.mlflow_memory, MIN_MLFLOW_BYTES),
    ):
        if quantities.value(quantity) < minimum:
            need = quantities.memory_share(str(int(minimum)), quantities.WHOLE)
            reason = f"given {quantity}; the process needs at least {need} to start"
            yield Problem(key, reason, f"pulumi config set {key} {need}")
    if quantities.value(size.head_cpus) < MIN_HEAD_CPUS:
        reason = f"given {size.head_cpus}; a head with less than {MIN_HEAD_CPUS} may exceed Ray's start limit of 30 s"
        yield Problem("headCpus", reason, f"pulumi config set headCpus {MIN_HEAD_CPUS}")
    if size.min_workers > size.max_workers:
        reason = f"given {size.min_workers}, which is more than maxWorkers ({size.max_workers})"
        yield Problem("minWorkers", reason, f"pulumi config set maxWorkers {size.min_workers}")
    if size.replicas > size.max_workers:
        reason = f"given {size.replicas}, which is more than maxWorkers ({size.max_workers})"
        yield Problem("replicas", reason, f"pulumi config set maxWorkers {size.replicas}")


def _workers(workers: WorkerOptions, size: SizeOptions) -> Iterator[Problem]:
    if workers.train_min_workers > workers.train_workers:
        reason = f"given {workers.train_min_workers}, which is more than trainWorkers ({workers.train_workers})"
        yield Problem("trainMinWorkers", reason, f"pulumi config set trainWorkers {workers.train_min_workers}")
    if workers.train_workers and quantities.value(workers.train_memory or size.memory) < MIN_WORKER_BYTES:
        need = quantities.memory_share(str(int(MIN_WORKER_BYTES)), quantities.WHOLE)
        reason = f"given {workers.train_memory}; a worker needs at least {need} to start"
        yield Problem("trainMemory", reason, f"pulumi config set trainMemory {need}")
    seen = {names.WORKER_GROUP, TRAIN}
    for index, group in enumerate(workers.worker_groups):
        path = f"workerGroups[{index}]"
        if group.name in seen:
            reason = f"given {group.name}, which is the name of another group"
            yield Problem(f"{path}.name", reason, f"pulumi config set --path '{path}.name' jobs-{index}")
        if group.min_workers > group.max_workers:
            reason = f"given {group.min_workers}, which is more than maxWorkers ({group.max_workers})"
            yield Problem(
                f"{path}.minWorkers", reason, f"pulumi config set --path '{path}.maxWorkers' {group.min_workers}"
            )
        seen.add(group.name)


def _images(images: ImageOptions, cluster: ClusterOptions) -> Iterator[Problem]:
    if images.image_builder == "prebuilt" and not images.image:
        reason = "not set; imageBuilder: prebuilt needs the reference of the image"
        yield Problem("image", reason, "pulumi config set image registry.example.com/manta-ray:1.0")
    if images.image_builder == "prebuilt" and images.image_extras:
        reason = (
            f"given {', '.join(images.image_extras)}, but imageBuilder is prebuilt: nothing is installed in the image"
        )
        yield Problem("imageExtras", reason, "pulumi config rm imageExtras")
    if images.image_builder == "docker" and not images.registry:
        reason = "not set; imageBuilder: docker pushes to a registry that the cluster pulls from"
        yield Problem("registry", reason, "pulumi config set registry registry.example.com/ml")
    if images.image_builder == "command" and "{image}" not in images.build_command:
        reason = "imageBuilder: command needs a command that contains {image}"
        example = "buildah build -t {image} -f {dockerfile} {context}"
        yield Problem("buildCommand", reason, f"pulumi config set buildCommand {quoted(example)}")
    if images.image_builder == "minikube" and cluster.target == "cloud":
        reason = "given minikube, which builds images for Minikube only, and target is cloud"
        yield Problem("imageBuilder", reason, "pulumi config set imageBuilder docker")


def _mlflow(storage: StorageOptions) -> Iterator[Problem]:
    if storage.mlflow_backend == "sqlite" and storage.mlflow_replicas > 1:
        reason = f"given {storage.mlflow_replicas}; only one server can write the file of SQLite"
        yield Problem("mlflowReplicas", reason, "pulumi config set mlflowBackend postgres")
    if storage.artifact_root == "volume" and storage.mlflow_replicas > 1:
        reason = f"given {storage.mlflow_replicas}; only one server can mount the volume of the artifacts"
        yield Problem("mlflowReplicas", reason, "pulumi config set artifactRoot s3://bucket/path")


def _postgres(storage: StorageOptions, connections: ConnectionOptions) -> Iterator[Problem]:
    if storage.mlflow_backend != "postgres":
        return
    if not storage.postgres_host:
        yield Problem(
            "postgresHost", "not set, and mlflowBackend is postgres", "pulumi config set postgresHost db.example.com"
        )
    if not storage.postgres_secret and not storage.postgres_password.get_secret_value():
        reason = "not set; mlflowBackend: postgres needs a password here or in postgresSecret"
        yield Problem("postgresPassword", reason, "pulumi config set --secret postgresPassword")
    if storage.postgres_database == storage.postgres_auth_database:
        reason = (
            f"given {storage.postgres_auth_database}, the database of runs; the migrations of runs and users conflict"
        )
        yield Problem("postgresAuthDatabase", reason, "pulumi config set postgresAuthDatabase mlflow_auth")
    if connections.postgres_ca and connections.postgres_ssl_mode not in ("verify-ca", "verify-full"):
        reason = f"given {connections.postgres_ssl_mode}, which does not verify a certificate, and postgresCa is set"
        yield Problem("postgresSslMode", reason, "pulumi config set postgresSslMode verify-full")


def _redis(storage: StorageOptions, connections: ConnectionOptions) -> Iterator[Problem]:
    password = storage.redis_password.get_secret_value()
    if storage.redis == "in-cluster":
        if password and (len(password) < SECRET_MIN_LENGTH or SECRET.fullmatch(password) is None):
            reason = f"the Redis of the stack takes {SECRET_MIN_LENGTH} or more of the characters A-Z a-z 0-9 . _ ~ -"
            yield Problem("redisPassword", reason, secret_command("redisPassword"))
        for key, value in (
            ("redisAddress", storage.redis_address),
            ("redisUser", connections.redis_user),
            ("redisSecret", connections.redis_secret),
            ("redisCa", connections.redis_ca),
        ):
            if value:
                yield Problem(key, "set, but redis is in-cluster", "pulumi config set redis external")
        return
    if not storage.redis_address:
        yield Problem(
            "redisAddress", "not set, and redis is external", "pulumi config set redisAddress redis.example.com:6380"
        )
    if connections.redis_ca and not storage.redis_tls:
        yield Problem("redisCa", "set, but redisTls is false", "pulumi config set redisTls true")
    if connections.redis_secret and password:
        yield Problem("redisPassword", "set, and redisSecret too", "pulumi config rm redisPassword")
    if connections.redis_user and not connections.redis_secret and not password:
        reason = "not set; a user of Redis needs a password here or in redisSecret"
        yield Problem("redisPassword", reason, "pulumi config set --secret redisPassword")


def _artifacts(storage: StorageOptions, connections: ConnectionOptions) -> Iterator[Problem]:
    if connections.artifact_endpoint and not storage.artifact_root.startswith("s3://"):
        reason = f"set, but artifactRoot is {storage.artifact_root}; an endpoint belongs to an s3:// address"
        yield Problem("artifactEndpoint", reason, "pulumi config set artifactRoot s3://bucket/path")
    if connections.artifact_ca and storage.artifact_root == "volume":
        reason = "set, but artifactRoot is volume"
        yield Problem("artifactCa", reason, "pulumi config set artifactRoot s3://bucket/path")


def _access(access: AccessOptions) -> Iterator[Problem]:
    if access.access != "port-forward" and not access.host:
        example = '"$(minikube ip)"' if access.access == "nodePort" else "manta.example.com"
        yield Problem("host", f"not set, and access is {access.access}", f"pulumi config set host {example}")
    if access.access == "ingress" and not access.tls:
        reason = "not set; access: ingress needs a TLS Secret, because tokens and passwords pass through it"
        yield Problem("tls", reason, "pulumi config set tls manta-tls")
    if access.access == "gateway" and not access.gateway:
        reason = "not set, and access is gateway"
        yield Problem("gateway", reason, "pulumi config set gateway NAMESPACE/NAME")
    if access.access != "gateway" and access.gateway:
        yield Problem("gateway", f"set, and access is {access.access}", "pulumi config set access gateway")
    if access.access == "port-forward" and access.access_cidrs:
        yield Problem("accessCidrs", "set, and access is port-forward", "pulumi config rm accessCidrs")
