"""The values of MLflow's chart: storage, allowed hosts, credentials, and the server's start."""

import pytest

from infra import endpoints
from infra.components.mlflow import values
from tests.support.json_object import JsonObject
from tests.support.program import Program, parsed

VOLUME = "kubernetes:core/v1:PersistentVolumeClaim"


def values_of(stack: str = "dev", /, **changes: object) -> JsonObject:
    settings = parsed(stack, **changes)
    return values.values(
        settings.storage,
        settings.connections,
        settings.images,
        settings.scheduling.of("mlflow"),
        image="registry.example.com/mlflow:1",
        environment={},
        environment_secrets=[],
        pod_labels={},
        client_secret="mlflow-client-0",  # noqa: S106 - the name of a Secret
        oidc=None,
        allowed_hosts=values.allowed_hosts(
            namespace=settings.cluster.namespace, public=endpoints.mlflow_public_hosts(settings.access)
        ),
        checksums=["abc"],
    )


def database_arguments(values: JsonObject) -> tuple[str, str]:
    """Addresses of the two databases, as the init containers get them."""
    migrate, auth, _ = values["initContainers"]
    return migrate["command"][-1], auth["env"][0]["value"]


def test_values_refer_to_the_secret_and_do_not_contain_the_password() -> None:
    auth = values_of()["auth"]

    assert auth["enabled"] is True
    assert auth["existingAdminSecret"] == {
        "name": "mlflow-auth",
        "usernameKey": "username",
        "passwordKey": "password",
    }
    assert "adminPassword" not in auth


def test_sqlite_and_artifacts_share_one_volume_that_one_pod_writes() -> None:
    values = values_of()

    assert values["backendStore"]["defaultSqlitePath"] == "/mlflow/data/mlflow.db"
    assert database_arguments(values) == ("sqlite:////mlflow/data/mlflow.db", "sqlite:////mlflow/data/basic_auth.db")
    assert values["artifactRoot"]["defaultArtifactsDestination"] == "/mlflow/data/artifacts"
    assert values["extraVolumes"][0]["persistentVolumeClaim"]["claimName"] == "mlflow-data"
    assert values["strategy"] == {"type": "Recreate"}


def test_pulumi_does_not_wait_for_the_volume_because_it_is_bound_with_its_pod(program: Program) -> None:
    volume = program.deploy().resource(VOLUME, "mlflow-volume").inputs

    assert volume["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
    assert volume["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_postgres_and_an_object_store_need_no_volume(program: Program) -> None:
    values = values_of("prod")

    assert [volume.name for volume in program.deploy("prod").of_type(VOLUME)] == ["redis-volume"]
    secret = {"name": "mlflow-postgres", "usernameKey": "username", "passwordKey": "password"}
    database = {"enabled": True, "host": "postgres.example.com", "port": 5432}
    assert values["backendStore"] == {
        "databaseMigration": False,
        "databaseConnectionCheck": False,
        "postgres": database | {"database": "mlflow", "driver": "psycopg2"},
        "existingDatabaseSecret": secret,
    }
    assert database_arguments(values) == ("postgresql+psycopg2://", "postgresql+psycopg2:///mlflow_auth")
    assert values["artifactRoot"] == {
        "proxiedArtifactStorage": True,
        "defaultArtifactsDestination": "s3://example-manta-artifacts",
    }
    assert values["replicaCount"] == 2
    assert "strategy" not in values


@pytest.mark.parametrize(
    ("changes", "host"),
    [
        ({}, "localhost:*"),
        ({}, "mlflow"),
        ({}, "mlflow:*"),
        ({}, "mlflow.manta.svc.cluster.local:*"),
        ({}, "127.0.0.1:*"),
        ({"namespace": "team"}, "mlflow.team.svc.cluster.local:*"),
        ({"access": "nodePort", "host": "192.168.49.2"}, "192.168.49.2:*"),
        ({"access": "ingress", "host": "example.com", "tls": "tls"}, "mlflow.example.com"),
    ],
)
def test_the_server_accepts_every_host_by_which_clients_reach_it(changes: dict[str, object], host: str) -> None:
    assert host in values_of(**changes)["serverAllowedHosts"]


def test_the_server_never_accepts_every_host() -> None:
    for stack in ("dev", "prod"):
        assert "*" not in values_of(stack)["serverAllowedHosts"]


@pytest.mark.parametrize(("memory", "expected"), [("768Mi", 1), ("1536Mi", 1), ("3Gi", 3), ("64Gi", 4)])
def test_the_number_of_server_processes_follows_from_the_memory(memory: str, expected: int) -> None:
    assert values.workers(memory) == expected


def test_the_pod_meets_pod_security_restricted_and_has_the_labels_of_its_policy() -> None:
    values = values_of()

    assert values["podSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert values["extraPodLabels"] == {
        "app.kubernetes.io/component": "mlflow",
        "app.kubernetes.io/part-of": "manta",
    }


def test_another_password_of_the_administrator_restarts_the_server_and_changes_nothing_of_ray(program: Program) -> None:
    records = [program.deploy(), program.deploy(mlflowPassword="another-password")]

    before, after = (
        record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]["podAnnotations"]
        for record in records
    )
    services = [record.resource("kubernetes:ray.io/v1:RayService").inputs for record in records]
    assert before != after
    assert services[0] == services[1]


def test_another_password_of_the_pods_is_another_user_and_the_old_user_is_removed_after_the_upgrade(
    program: Program,
) -> None:
    records = [program.deploy(), program.deploy(mlflowClientPassword="another-client-password")]

    removals = [record.resource("command:local:Command", "mlflow-client-user").inputs for record in records]
    users = [removal["environment"]["MANTA_USER"] for removal in removals]
    assert users[0] != users[1]
    assert [removal["triggers"] for removal in removals] == [[user] for user in users]
    for record, user in zip(records, users, strict=True):
        spec = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]
        [container] = spec["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
        name = next(item for item in container["env"] if item["name"] == "MLFLOW_TRACKING_USERNAME")
        reference = name["valueFrom"]["secretKeyRef"]
        secret = record.resource("kubernetes:core/v1:Secret", "mlflow-client-secret").inputs
        assert secret["metadata"]["name"] == reference["name"]
        assert secret["stringData"][reference["key"]] == user


def test_the_users_are_set_after_the_address_of_their_database_and_before_the_server_starts() -> None:
    names = [container["name"] for container in values_of("prod")["initContainers"]]

    assert names.index("set-users") > names.index("configure-auth")


def test_workload_identity_and_store_credentials_reach_the_server() -> None:
    values = values_of(
        "prod",
        mlflowServiceAccountAnnotations={"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"},
        artifactSecret="store-keys",
    )

    assert values["serviceAccount"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"}
    assert values["extraSecretNamesForEnvFrom"] == ["store-keys"]
