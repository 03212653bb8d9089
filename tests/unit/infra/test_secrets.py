"""Passwords and tokens: in Kubernetes Secrets, and in clear nowhere."""

import json
from typing import Any

import pytest

from tests.support.engine import HIDDEN, SECRET, SIGNATURE, Record, unwrap
from tests.support.program import SECRETS, SUPPLIED, Program

KIND = "kubernetes:core/v1:Secret"


def in_clear(value: Any) -> str:  # noqa: ANN401
    """Text of everything that is not wrapped as a secret."""
    return json.dumps(unwrap(value, hide=True))


def secrets_of(record: Record, supplied: dict[str, str]) -> set[str]:
    return set(record.generated.values()) | set(supplied.values())


CASES: list[tuple[str, dict[str, str]]] = [
    ("dev", {}),
    ("prod", {}),
    ("prod", SUPPLIED),
]


@pytest.mark.parametrize(("stack", "changes"), CASES)
def test_no_secret_appears_in_clear_anywhere(program: Program, stack: str, changes: dict[str, str]) -> None:
    record = program.deploy(stack, **changes)

    shown = [in_clear(one.raw) for one in record.resources.values()]
    shown += [in_clear(record.outputs), in_clear([arguments for _, arguments in record.calls])]
    text = "\n".join(shown)
    supplied = {key: value for key, value in changes.items() if value}
    assert len(secrets_of(record, supplied)) >= 4
    for secret in secrets_of(record, supplied):
        assert secret not in text


@pytest.mark.parametrize(("stack", "changes"), CASES)
def test_secrets_travel_in_kubernetes_secrets_alone(program: Program, stack: str, changes: dict[str, str]) -> None:
    record = program.deploy(stack, **changes)

    supplied = {key: value for key, value in changes.items() if value}
    elsewhere = json.dumps([one.raw for one in record.resources.values() if one.type != KIND])
    inside = json.dumps([one.raw for one in record.of_type(KIND)])
    for secret in secrets_of(record, supplied):
        assert secret not in elsewhere
        assert secret in inside


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_helm_values_hold_no_secret_since_one_hides_them_all(program: Program, stack: str) -> None:
    for release in program.deploy(stack).of_type("kubernetes:helm.sh/v3:Release"):
        assert SIGNATURE not in json.dumps(release.raw["values"])


def test_outputs_mark_passwords_and_tokens_as_secret_and_nothing_else(program: Program) -> None:
    record = program.deploy()

    marked = {
        name for name, value in record.outputs.items() if isinstance(value, dict) and value.get(SIGNATURE) == SECRET
    }
    assert marked == {"rayToken", "serveToken", "mlflowPassword"}
    assert unwrap(record.outputs)["rayToken"] == record.generated["ray-ray-token"]


def test_generated_secrets_are_long_and_plain(program: Program) -> None:
    generated = program.deploy().of_type("random:index/randomPassword:RandomPassword")

    assert {one.name for one in generated} == {
        *("ray-ray-token", "ray-serve-token", "mlflow-password", "redis-password"),
    }
    for one in generated:
        assert (one.inputs["length"], one.inputs["special"]) == (40, False)


def test_a_supplied_secret_takes_the_place_of_a_generated_one(program: Program) -> None:
    record = program.deploy(**SECRETS)

    assert record.generated == {}
    assert record.one(KIND, "ray-auth").inputs["stringData"] == {"auth_token": SECRETS["rayToken"]}


def test_the_content_of_each_secret_is_what_its_readers_expect(program: Program) -> None:
    record = program.deploy()

    content = {one.inputs["metadata"]["name"]: one.inputs["stringData"] for one in record.of_type(KIND)}

    redis = record.generated["redis-password"]
    assert content == {
        "ray-auth": {"auth_token": record.generated["ray-ray-token"]},
        "serve-auth": {"tokens": record.generated["ray-serve-token"]},
        "mlflow-auth": {"username": "admin", "password": record.generated["mlflow-password"]},
        "redis-auth": {"password": redis, "auth.conf": f"requirepass {redis}\n"},
    }


def test_what_a_preview_shows_of_a_secret_is_nothing(program: Program) -> None:
    assert {one.public["stringData"] for one in program.deploy("prod").of_type(KIND)} == {HIDDEN}
