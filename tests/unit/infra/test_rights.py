"""The rights that `manta doctor --rights` lists cover every object that the program registers."""

import pytest

from app.cli.stack.doctor import rights
from tests.support.program import Program
from tests.unit.infra.test_doctor import text_of

CHANGES: dict[str, object] = {
    "trainSchedule": "@daily",
    "createNamespaces": True,
    "webhookSecret": "a-secret-of-the-webhook",
    "monitoring": "existing",
    "monitoringNamespace": "monitoring",
}


GATEWAY: dict[str, object] = {"access": "gateway", "host": "manta.example.com", "gateway": "infra/public"}


INSTALL: dict[str, object] = {"monitoring": "install", "monitoringNamespace": ""}


@pytest.mark.parametrize(("stack", "changes"), [("dev", {}), ("prod", {}), ("dev", GATEWAY), ("dev", INSTALL)])
def test_every_registered_kind_of_object_may_be_edited(
    program: Program, stack: str, changes: dict[str, object]
) -> None:
    changes = CHANGES | changes
    record = program.deploy(stack, **changes)
    editable = {
        (right.resource, right.namespace)
        for right in rights.required_rights(text_of(stack, changes))
        if set(rights.EDIT) <= set(right.verbs)
    }

    for resource in record.objects():
        group, _, _ = str(resource.inputs["apiVersion"]).rpartition("/")
        kind = str(resource.inputs["kind"]).lower()
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
        namespace = (resource.inputs.get("metadata") or {}).get("namespace", "")
        assert (f"{plural}.{group}".rstrip("."), namespace) in editable
