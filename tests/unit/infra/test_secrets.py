"""Passwords and tokens: only in Kubernetes Secrets, and never in clear text."""

import json
from typing import Any

import pytest

from tests.support.engine import HIDDEN, SECRET, SIGNATURE, Record, unwrap
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
        *("ray-ray-token", "ray-serve-token", "mlflow-password", "redis-password"),
    }
    for resource in generated:
        assert (resource.inputs["length"], resource.inputs["special"]) == (40, False)


def test_a_supplied_secret_replaces_the_generated_secret(program: Program) -> None:
    record = program.deploy(**SECRETS)

    assert record.generated == {}
    assert record.resource(KIND, "ray-auth").inputs["stringData"] == {"auth_token": SECRETS["rayToken"]}


def test_each_secret_has_the_keys_that_its_readers_expect(program: Program) -> None:
    record = program.deploy()

    content = {resource.inputs["metadata"]["name"]: resource.inputs["stringData"] for resource in record.of_type(KIND)}

    redis = record.generated["redis-password"]
    assert content == {
        "ray-auth": {"auth_token": record.generated["ray-ray-token"]},
        "serve-auth": {"tokens": record.generated["ray-serve-token"]},
        "mlflow-auth": {"username": "admin", "password": record.generated["mlflow-password"]},
        "redis-auth": {"password": redis, "auth.conf": f"requirepass {redis}\n"},
    }


def test_a_preview_hides_the_content_of_every_secret(program: Program) -> None:
    assert {resource.public["stringData"] for resource in program.deploy("prod").of_type(KIND)} == {HIDDEN}


def test_only_a_stack_that_allows_pickles_has_a_key_for_them(program: Program) -> None:
    plain, allowing = program.deploy("dev"), program.deploy("dev", allowPickle="true")

    assert "MANTA_MODEL_KEY" not in json.dumps([unwrap(item.raw, hide=True) for item in plain.resources.values()])
    [secret] = [item for item in allowing.of_type(KIND) if item.raw["metadata"]["name"] == "model-auth"]
    assert len(unwrap(secret.raw["stringData"])["key"]) == 40
