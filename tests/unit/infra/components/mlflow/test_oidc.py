"""Sign-in to MLflow with an OIDC provider: the values of the chart, the users of the plugin, and the client secret."""

import json
from pathlib import Path

import pytest

from tests.support.engine import Record
from tests.support.json_object import JsonObject
from tests.support.program import Program

OIDC: dict[str, object] = {
    "discoveryUrl": "https://id.example.com/realms/ml/.well-known/openid-configuration",
    "clientId": "manta-mlflow",
    "groups": ["ml", "ML guests"],
    "adminGroups": ["ml-admins"],
}
SECRET = "short & odd"  # noqa: S105 - no password of anything
CHANGES: dict[str, object] = {"mlflowOidc": OIDC, "mlflowOidcClientSecret": SECRET}
CERTIFICATE = (Path(__file__).parents[4] / "support" / "authority.pem").read_text()


def values_of(record: Record) -> JsonObject:
    values: JsonObject = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    return values


def variables(container: JsonObject) -> JsonObject:
    return {entry["name"]: entry.get("value") or entry["valueFrom"]["secretKeyRef"] for entry in container["env"]}


def test_the_plugin_takes_the_place_of_basic_authentication(program: Program) -> None:
    values = values_of(program.deploy(**CHANGES))

    assert "auth" not in values
    auth = values["oidcAuth"]
    assert auth["enabled"] is True
    assert auth["discoveryUrl"] == OIDC["discoveryUrl"]
    assert auth["clientId"] == "manta-mlflow"
    assert auth["groupName"] == ["ml", "ML guests"]
    assert auth["adminGroupName"] == ["ml-admins"]
    assert auth["groupsAttribute"] == "groups"
    assert auth["scope"] == "openid email profile"
    assert auth["defaultPermission"] == "READ"
    assert [container["name"] for container in values["initContainers"]] == ["migrate-database", "set-users"]


def test_without_the_key_the_chart_gets_no_value_of_the_plugin(program: Program) -> None:
    values = values_of(program.deploy())

    assert "oidcAuth" not in values
    assert values["auth"]["enabled"] is True


def test_the_client_secret_is_in_one_secret_only_to_which_the_values_refer(program: Program) -> None:
    record = program.deploy(**CHANGES)

    secret = record.resource("kubernetes:core/v1:Secret", "mlflow-oidc").inputs
    assert values_of(record)["oidcAuth"]["existingSecret"] == {
        "name": secret["metadata"]["name"],
        "clientSecretKey": "client-secret",
    }
    assert secret["stringData"] == {"client-secret": SECRET}
    assert SECRET not in json.dumps([resource.public for resource in record.resources.values()])


def test_a_secret_made_elsewhere_takes_the_place_of_the_stacks(program: Program) -> None:
    record = program.deploy(mlflowOidc=OIDC, mlflowOidcSecret="mlflow-oidc-client")

    assert values_of(record)["oidcAuth"]["existingSecret"]["name"] == "mlflow-oidc-client"
    names = [secret.inputs["metadata"]["name"] for secret in record.of_type("kubernetes:core/v1:Secret")]
    assert "mlflow-oidc" not in names


def test_another_client_secret_restarts_mlflow_and_changes_nothing_of_ray(program: Program) -> None:
    before, after = (program.deploy(**CHANGES), program.deploy(**CHANGES | {"mlflowOidcClientSecret": "another"}))

    assert values_of(before)["podAnnotations"] != values_of(after)["podAnnotations"]
    services = [record.resource("kubernetes:ray.io/v1:RayService").inputs for record in (before, after)]
    assert services[0] == services[1]


def test_a_sign_in_and_other_authorities_of_its_provider_leave_the_ray_cluster_as_it_is(program: Program) -> None:
    records = [program.deploy(), *(program.deploy(**CHANGES, mlflowOidcCa=CERTIFICATE * number) for number in (1, 2))]

    services = [record.resource("kubernetes:ray.io/v1:RayService").inputs for record in records]
    annotations = [values_of(record)["podAnnotations"] for record in records]
    assert services[0] == services[1] == services[2]
    assert annotations[1] != annotations[2]


def test_the_stack_gives_the_plugin_its_administrator_and_the_user_of_the_pods(program: Program) -> None:
    record = program.deploy(**CHANGES)

    container = values_of(record)["initContainers"][-1]
    client = record.resource("kubernetes:core/v1:Secret", "mlflow-client-secret").inputs["metadata"]["name"]
    uri = values_of(record)["oidcAuth"]["database"]["uri"]
    assert uri == "sqlite:////mlflow/data/oidc_auth.db"
    assert variables(container) == {
        "ADMIN_USERNAME": {"name": "mlflow-auth", "key": "username"},
        "ADMIN_PASSWORD": {"name": "mlflow-auth", "key": "password"},
        "CLIENT_USERNAME": {"name": client, "key": "username"},
        "CLIENT_PASSWORD": {"name": client, "key": "password"},
        "OIDC_USERS_DB_URI": uri,
    }
    removal = record.resource("command:local:Command", "mlflow-client-user").inputs
    assert container["command"] == ["python", "-c", removal["environment"]["MANTA_PROGRAM"], "set"]


def test_postgres_keeps_the_plugins_tables_in_a_schema_and_no_address_contains_the_password(program: Program) -> None:
    values = values_of(program.deploy("prod", **CHANGES, postgresSecret="", postgresPassword="a/b&c@d:%20"))

    uri = values["oidcAuth"]["database"]["uri"]
    assert uri == "postgresql+psycopg2:///mlflow_auth?options=-csearch_path%3Dmlflow_oidc"
    container = variables(values["initContainers"][-1])
    assert container["OIDC_USERS_DB_URI"] == uri
    assert container["OIDC_SCHEMA"] == "mlflow_oidc"
    assert container["PGPASSWORD"] == {"name": "mlflow-postgres", "key": "password"}


@pytest.mark.parametrize(
    ("changes", "redirect_uri"),
    [
        ({}, ""),
        ({"access": "nodePort", "host": "192.168.49.2"}, ""),
        ({"access": "ingress", "host": "example.com", "tls": "tls"}, "https://mlflow.example.com/callback"),
        ({"access": "gateway", "host": "example.com", "gateway": "a/b"}, "https://mlflow.example.com/callback"),
        ({"access": "ingress", "host": "example.com", "tls": "tls", "publish": ["serve"]}, ""),
    ],
)
def test_a_sign_in_returns_to_the_https_address_of_mlflow_if_it_has_one(
    program: Program, changes: dict[str, object], redirect_uri: str
) -> None:
    auth = values_of(program.deploy(**CHANGES, **changes))["oidcAuth"]

    assert auth["redirectUri"] == redirect_uri
    assert auth["sessionCookieSecure"] is bool(redirect_uri)


def test_the_server_trusts_the_authorities_of_the_provider(program: Program) -> None:
    values = values_of(program.deploy(**CHANGES, mlflowOidcCa=CERTIFICATE))

    assert values["extraEnvVars"]["SSL_CERT_FILE"] == "/etc/manta/certificate-authorities/oidc.crt"
    assert "/etc/manta/certificate-authorities" in [mount["mountPath"] for mount in values["extraVolumeMounts"]]
    assert "SSL_CERT_FILE" not in values_of(program.deploy(**CHANGES))["extraEnvVars"]
