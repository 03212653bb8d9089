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
        allowed_hosts=values.allowed_hosts(
            namespace=settings.cluster.namespace, public=endpoints.mlflow_public_hosts(settings.access)
        ),
        checksums=["abc"],
    )


def database_arguments(values: JsonObject) -> tuple[str, str]:
    """Addresses of the two databases, as the init containers get them."""
    migrate, auth = values["initContainers"]
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
        "databaseConnectionCheck": True,
        "postgres": database | {"database": "mlflow"},
        "existingDatabaseSecret": secret,
    }
    assert database_arguments(values) == ("postgresql://", "postgresql:///mlflow_auth")
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


def test_a_changed_password_restarts_the_server(program: Program) -> None:
    before, after = (
        program.deploy(**changes)
        .resource("kubernetes:helm.sh/v3:Release", "mlflow-release")
        .inputs["values"]["podAnnotations"]
        for changes in ({}, {"mlflowPassword": "another-password"})
    )

    assert before != after


def test_workload_identity_and_store_credentials_reach_the_server() -> None:
    values = values_of(
        "prod",
        mlflowServiceAccountAnnotations={"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"},
        artifactSecret="store-keys",
    )

    assert values["serviceAccount"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/mlflow"}
    assert values["extraSecretNamesForEnvFrom"] == ["store-keys"]
