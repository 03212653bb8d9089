"""Passwords and tokens: only in Kubernetes Secrets, and never in clear text."""

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet

from infra.components.mlflow import users
from tests.support.engine import HIDDEN, SECRET, SIGNATURE, Record, object_name, unwrap
from tests.support.program import SECRETS, SUPPLIED, Program

KIND = "kubernetes:core/v1:Secret"


def clear_text(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Text of all values that are not wrapped as secrets."""
    return json.dumps(unwrap(value, hide=True))


def secrets_of(record: Record, supplied: dict[str, str]) -> set[str]:
    return set(record.generated.values()) | set(supplied.values())


CASES: list[tuple[str, dict[str, str]]] = [
    ("dev", {}),
    ("prod", {}),
    ("prod", SUPPLIED),
]


@pytest.mark.parametrize(("stack", "changes"), CASES)
def test_no_secret_appears_in_clear_text(program: Program, stack: str, changes: dict[str, str]) -> None:
    record = program.deploy(stack, **changes)

    texts = [clear_text(resource.raw) for resource in record.resources.values()]
    texts += [clear_text(record.outputs), clear_text([arguments for _, arguments in record.calls])]
    text = "\n".join(texts)
    supplied = {key: value for key, value in changes.items() if value}
    assert len(secrets_of(record, supplied)) >= 4
    for secret in secrets_of(record, supplied):
        assert secret not in text


@pytest.mark.parametrize(("stack", "changes"), CASES)
def test_only_kubernetes_secrets_contain_secrets(program: Program, stack: str, changes: dict[str, str]) -> None:
    record = program.deploy(stack, **changes)

    supplied = {key: value for key, value in changes.items() if value}
    elsewhere = json.dumps([resource.raw for resource in record.resources.values() if resource.type != KIND])
    inside = json.dumps([resource.raw for resource in record.of_type(KIND)])
    for secret in secrets_of(record, supplied):
        assert secret not in elsewhere
        assert secret in inside


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_helm_values_contain_no_secret_because_a_single_secret_would_hide_all_values_in_a_preview(
    program: Program, stack: str
) -> None:
    for release in program.deploy(stack).of_type("kubernetes:helm.sh/v3:Release"):
        assert SIGNATURE not in json.dumps(release.raw["values"])


def test_passwords_and_tokens_are_the_only_secret_outputs(program: Program) -> None:
    record = program.deploy()

    secret_outputs = {
        name for name, value in record.outputs.items() if isinstance(value, dict) and value.get(SIGNATURE) == SECRET
    }
    assert secret_outputs == {"rayToken", "serveToken", "mlflowPassword"}
    assert unwrap(record.outputs)["rayToken"] == record.generated["ray-ray-token"]


def test_generated_secrets_have_40_letters_and_digits(program: Program) -> None:
    generated = program.deploy().of_type("random:index/randomPassword:RandomPassword")

    assert {resource.name for resource in generated} == {
        *("ray-ray-token", "ray-serve-token", "mlflow-password", "mlflow-client-password", "redis-password"),
    }
    for resource in generated:
        assert (resource.inputs["length"], resource.inputs["special"]) == (40, False)


def test_a_supplied_secret_replaces_the_generated_secret(program: Program) -> None:
    record = program.deploy(**SECRETS)

    assert record.generated == {}
    assert record.resource(KIND, "ray-ray-secret").inputs["stringData"] == {"auth_token": SECRETS["rayToken"]}


def test_each_secret_has_the_keys_that_its_readers_expect(program: Program) -> None:
    record = program.deploy()

    content = {resource.name: resource.inputs["stringData"] for resource in record.of_type(KIND)}

    redis, client = record.generated["redis-password"], record.generated["mlflow-client-password"]
    assert content == {
        "ray-ray-secret": {"auth_token": record.generated["ray-ray-token"]},
        "ray-serve-secret": {"tokens": record.generated["ray-serve-token"]},
        "mlflow-secret": {"username": "admin", "password": record.generated["mlflow-password"]},
        "mlflow-client-secret": {"username": users.client_name(client), "password": client},
        "redis-secret": {"password": redis, "auth.conf": f"requirepass {redis}\n"},
    }


def test_a_preview_hides_the_content_of_every_secret(program: Program) -> None:
    assert {resource.public["stringData"] for resource in program.deploy("prod").of_type(KIND)} == {HIDDEN}


def test_only_a_stack_that_allows_pickles_has_a_key_for_them(program: Program) -> None:
    plain, allowing = program.deploy("dev"), program.deploy("dev", allowPickle="true")

    assert "MANTA_MODEL_KEY" not in json.dumps([unwrap(item.raw, hide=True) for item in plain.resources.values()])
    [secret] = [item for item in allowing.of_type(KIND) if item.raw["metadata"]["name"] == "model-auth"]
    assert len(unwrap(secret.raw["stringData"])["key"]) == 40


def test_another_ray_token_has_another_secret_so_that_the_old_cluster_of_an_upgrade_keeps_its_own(
    program: Program,
) -> None:
    before, after = program.deploy(), program.deploy(rayToken="another-token-of-ray")

    names = [object_name(record.resource(KIND, "ray-ray-secret")) for record in (before, after)]
    assert names[0] != names[1]
    for record, name in zip((before, after), names, strict=True):
        spec = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]
        assert spec["rayClusterConfig"]["authOptions"]["secretName"] == name


def test_kuberays_cleanup_of_redis_needs_no_secret_that_the_update_has_deleted(program: Program) -> None:
    # The cleanup job of the old cluster is a copy of its head, and KubeRay adds Redis' password.
    record = program.deploy(webhookSecret="a-secret-of-the-webhook", allowPickle=True)

    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    head, worker = (
        {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in container["env"] if "valueFrom" in entry}
        for group in (cluster["headGroupSpec"], cluster["workerGroupSpecs"][0])
        for container in group["template"]["spec"]["containers"]
    )
    assert head.pop("RAY_AUTH_TOKEN") == {
        "name": cluster["authOptions"]["secretName"],
        "key": "auth_token",
        "optional": True,
    }
    assert head == {name: reference | {"optional": True} for name, reference in worker.items()}
    assert not any("optional" in reference for reference in worker.values())


def test_the_service_accepts_the_previous_token_beside_the_new_one(program: Program) -> None:
    record = program.deploy(serveToken="the-new-serve-token", previousServeToken="the-old-serve-token")

    assert record.resource(KIND, "serve-auth").inputs["stringData"] == {
        "tokens": "the-new-serve-token,the-old-serve-token"
    }
    assert unwrap(record.outputs)["serveToken"] == "the-new-serve-token"


def test_predictions_need_a_token_only_if_the_stack_asks_for_it(program: Program) -> None:
    for changes, expected in (({}, "false"), ({"predictNeedsToken": True}, "true")):
        spec = program.deploy(**changes).resource("kubernetes:ray.io/v1:RayService").inputs["spec"]
        [container] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
        assert {"name": "MANTA_PREDICT_NEEDS_TOKEN", "value": expected} in container["env"]


def test_a_webhook_secret_reaches_the_replicas_and_mlflow_can_store_webhooks(program: Program) -> None:
    record = program.deploy(webhookSecret="a-secret-of-the-webhook")

    spec = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]
    [container] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    [variable] = [item for item in container["env"] if item["name"] == "MANTA_WEBHOOK_SECRET"]
    reference = variable["valueFrom"]["secretKeyRef"]
    assert record.resource(KIND, reference["name"]).inputs["stringData"][reference["key"]] == "a-secret-of-the-webhook"
    values = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    assert values["extraSecretNamesForEnvFrom"] == ["mlflow-webhook"]
    key = record.resource(KIND, "mlflow-webhook").inputs["stringData"]["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]
    assert Fernet(key).decrypt(Fernet(key).encrypt(b"secret")) == b"secret"


@pytest.mark.parametrize(
    ("changes", "kind", "path"),
    [
        ({}, "kubernetes:helm.sh/v3:Release", ("values", "podAnnotations")),
        (
            {"redis": "external", "redisAddress": "redis.example.com:6380", "redisSecret": "redis-login"},
            "kubernetes:ray.io/v1:RayService",
            ("spec", "rayClusterConfig", "headGroupSpec", "template", "metadata", "annotations"),
        ),
    ],
)
def test_a_changed_secret_of_others_restarts_its_readers_and_is_not_shown(
    program: Program, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], kind: str, path: tuple[str, ...]
) -> None:
    annotations = []
    for number, value in enumerate(("c2hvcnQ=", "b3RoZXI=")):
        monkeypatch.setattr(program, "secret_data", value)
        record = program.deploy("prod", cpus=4 + number, **changes)
        [resource] = [item for item in record.of_type(kind) if "kuberay" not in item.name]
        fields: Any = resource.public
        for key in path:
            fields = fields[key]
        annotations.append({name: text for name, text in fields.items() if "checksum" in name})

    assert annotations[0] != annotations[1]
    assert "c2hvcnQ" not in str(annotations)
