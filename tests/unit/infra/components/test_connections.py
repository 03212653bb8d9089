"""External Redis, Postgres and object stores: users, passwords of any kind, TLS and certificate authorities."""

import configparser
import subprocess
from pathlib import Path

import pytest

from infra.components.mlflow.database import CONFIGURE_AUTH, POSTGRES_DRIVER
from infra.config.settings import SettingsError
from tests.support.engine import Record
from tests.support.json_object import JsonObject
from tests.support.program import Program, parsed

REDIS: dict[str, object] = {"redis": "external", "redisAddress": "redis.example.com:6380"}
PASSWORD = "a/b&c@d=#$%^'\"\\+:;,!"  # noqa: S105  (no password of anything)
CERTIFICATE = (Path(__file__).parents[3] / "support" / "authority.pem").read_text()


def cluster(record: Record) -> JsonObject:
    spec: JsonObject = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    return spec


def head(record: Record) -> JsonObject:
    pod: JsonObject = cluster(record)["headGroupSpec"]["template"]["spec"]
    return pod


def variables(pod: JsonObject) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"] if "value" in entry}


def mlflow_values(record: Record) -> JsonObject:
    values: JsonObject = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    return values


def test_ray_verifies_an_external_redis_with_the_public_authorities(program: Program) -> None:
    env = variables(head(program.deploy(**REDIS)))

    assert env["RAY_REDIS_CA_CERT"] == "/etc/ssl/certs/ca-certificates.crt"
    assert env["RAY_REDIS_SERVER_NAME"] == "redis.example.com"


def test_ray_verifies_an_external_redis_with_the_authorities_of_the_configuration(program: Program) -> None:
    record = program.deploy(**REDIS, redisCa=CERTIFICATE)

    pod = head(record)
    path = variables(pod)["RAY_REDIS_CA_CERT"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    (volume,) = pod["volumes"]
    config_map = record.resource("kubernetes:core/v1:ConfigMap", volume["configMap"]["name"]).inputs
    assert config_map["data"] == {path.removeprefix(f"{mount['mountPath']}/"): CERTIFICATE}


def test_other_authorities_start_a_new_ray_cluster_and_restart_mlflow(program: Program) -> None:
    before, after = (program.deploy("prod", postgresSslMode="verify-full", postgresCa=CERTIFICATE * n) for n in (1, 2))

    assert cluster(before) != cluster(after)
    assert mlflow_values(before)["podAnnotations"] != mlflow_values(after)["podAnnotations"]


def test_without_tls_ray_gets_no_authorities(program: Program) -> None:
    assert "RAY_REDIS_CA_CERT" not in variables(head(program.deploy(**REDIS, redisTls=False)))
    assert "RAY_REDIS_CA_CERT" not in variables(head(program.deploy()))


def test_a_user_and_a_secret_made_elsewhere_reach_ray(program: Program) -> None:
    record = program.deploy(**REDIS, redisUser="ray", redisSecret="redis-login")

    gcs = cluster(record)["gcsFaultToleranceOptions"]
    assert gcs["redisUsername"] == {"value": "ray"}
    assert gcs["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "redis-login", "key": "password"}
    names = [secret.inputs["metadata"]["name"] for secret in record.of_type("kubernetes:core/v1:Secret")]
    assert "redis-auth" not in names


def test_passwords_of_other_services_may_hold_any_character(program: Program) -> None:
    record = program.deploy("prod", **REDIS, redisPassword=PASSWORD, postgresSecret="", postgresPassword=PASSWORD)

    secrets = {
        secret.inputs["metadata"]["name"]: secret.inputs["stringData"]["password"]
        for secret in record.of_type("kubernetes:core/v1:Secret")
        if "password" in secret.inputs["stringData"]
    }
    assert secrets["redis-auth"] == secrets["mlflow-postgres"] == PASSWORD


def test_mlflow_and_its_migration_verify_postgres(program: Program) -> None:
    values = mlflow_values(program.deploy("prod", postgresSslMode="verify-full", postgresCa=CERTIFICATE))

    migration = {entry["name"]: entry.get("value") for entry in values["initContainers"][0]["env"]}
    for env in (values["extraEnvVars"], migration):
        assert env["PGSSLMODE"] == "verify-full"
        assert env["PGSSLROOTCERT"] == "/etc/manta/certificate-authorities/postgres.crt"
    for mounts in (values["extraVolumeMounts"], values["initContainers"][0]["volumeMounts"]):
        assert "/etc/manta/certificate-authorities" in [mount["mountPath"] for mount in mounts]


def test_rays_pods_reach_artifacts_through_mlflow_alone(program: Program) -> None:
    env = variables(head(program.deploy("prod")))

    directions = ("DOWNLOAD", "UPLOAD")
    assert {env[f"MLFLOW_ENABLE_PROXY_MULTIPART_{direction}"] for direction in directions} == {"false"}


def test_the_image_of_mlflow_has_the_driver_in_the_address_of_postgres() -> None:
    locked = (Path(__file__).parents[4] / "requirements" / "mlflow.txt").read_text()

    assert f"\n{POSTGRES_DRIVER}-binary==" in locked


def test_mlflow_stores_artifacts_in_an_s3_server_of_ones_own(program: Program) -> None:
    endpoint = "https://minio.example.com:9000"

    env = mlflow_values(program.deploy("prod", artifactEndpoint=endpoint, artifactCa=CERTIFICATE))["extraEnvVars"]

    assert env["MLFLOW_S3_ENDPOINT_URL"] == endpoint
    assert env["AWS_CA_BUNDLE"] == "/etc/manta/certificate-authorities/artifacts.crt"


@pytest.mark.parametrize("runs", [1, 2])
def test_the_auth_file_gets_the_database_of_users_and_a_cache_of_passwords(tmp_path: Path, runs: int) -> None:
    file = tmp_path / "auth_result.ini"
    file.write_text("[mlflow]\ndatabase_uri = sqlite:///basic_auth.db\nadmin_username = admin\n")

    script = CONFIGURE_AUTH.replace("/config/auth_result.ini", str(file))
    for _ in range(runs):
        subprocess.run(["sh", "-c", script], env={"AUTH_DATABASE": "postgresql+psycopg2:///mlflow_auth"}, check=True)

    file_content = configparser.ConfigParser()
    file_content.read(file)
    assert dict(file_content["mlflow"]) == {
        "database_uri": "postgresql+psycopg2:///mlflow_auth",
        "auth_cache_ttl_seconds": "60",
        "admin_username": "admin",
    }


@pytest.mark.parametrize(
    ("stack", "changes", "command"),
    [
        ("dev", {"redisUser": "ray"}, "pulumi config set redis external"),
        ("dev", {"redisPassword": PASSWORD}, "pulumi config set --secret redisPassword"),
        ("dev", REDIS | {"redisUser": "ray"}, "pulumi config set --secret redisPassword"),
        ("dev", REDIS | {"redisSecret": "login", "redisPassword": PASSWORD}, "pulumi config rm redisPassword"),
        ("dev", REDIS | {"redisPassword": "with a space in it"}, "pulumi config set --secret redisPassword"),
        ("dev", REDIS | {"redisTls": False, "redisCa": CERTIFICATE}, "pulumi config set redisTls true"),
        ("dev", REDIS | {"redisCa": "not a certificate"}, "pulumi config set redisCa"),
        ("prod", {"postgresCa": CERTIFICATE}, "pulumi config set postgresSslMode verify-full"),
        ("dev", {"artifactEndpoint": "http://minio:9000"}, "pulumi config set artifactRoot s3://bucket/path"),
        ("dev", {"artifactCa": CERTIFICATE}, "pulumi config set artifactRoot s3://bucket/path"),
        ("prod", {"artifactEndpoint": "minio:9000"}, "pulumi config set artifactEndpoint https://"),
    ],
)
def test_a_contradiction_is_refused_with_the_command_that_corrects_it(
    stack: str, changes: dict[str, object], command: str
) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(stack, **changes)

    assert command in str(error.value)


def test_keep_data_protects_the_namespace_and_the_volume_of_mlflow(program: Program) -> None:
    record = program.deploy(keepData=True)

    assert {resource.name for resource in record.resources.values() if resource.is_protected} == {
        "namespaces-workloads",
        "mlflow-volume",
    }
    assert not any(resource.is_protected for resource in program.deploy().resources.values())
