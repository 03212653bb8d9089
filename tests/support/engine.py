"""A recording Pulumi engine: it runs a program to its end and returns the resources that the program registered.

Like the real engine and unlike Pulumi's mocks, it refuses two resources with the same URN, and a parent or a
dependency that is not registered.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import mocks, settings, stack
from pulumi.runtime.proto import resource_pb2

from tests.support.json_object import JsonObject

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key of a wrapped value in Pulumi's wire format."""
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (Pulumi's mark of a secret)
HIDDEN = "[secret]"
STACK_TYPE = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class RegisteredResource:
    """One resource as the program registered it."""

    urn: str
    type: str
    name: str
    parent: str
    raw: JsonObject
    """Inputs in wire format, secrets wrapped."""
    dependencies: frozenset[str]
    """URNs of the resources that it depends on, through an option or an input."""
    provider: str
    retain_on_delete: bool
    is_protected: bool
    timeouts: tuple[str, str, str]

    @property
    def inputs(self) -> JsonObject:
        """Inputs with secrets in plain text."""
        return dict(unwrap(self.raw))

    @property
    def public(self) -> JsonObject:
        """Inputs with secrets hidden, as a preview shows them."""
        return dict(unwrap(self.raw, hide=True))


@dataclass
class Record:
    """Resources, outputs and calls of one program run."""

    resources: dict[str, RegisteredResource] = field(default_factory=dict)
    outputs: JsonObject = field(default_factory=dict)
    """Stack outputs in wire format."""
    calls: list[tuple[str, JsonObject]] = field(default_factory=list)
    generated: dict[str, str] = field(default_factory=dict)
    """Secret of each RandomPassword, by the resource's name."""

    def of_type(self, kind: str) -> list[RegisteredResource]:
        return [resource for resource in self.resources.values() if resource.type == kind]

    def resource(self, kind: str, name: str = "") -> RegisteredResource:
        """Get the only resource of a type, or the only one with this name in Pulumi or in the cluster."""
        candidates = self.of_type(kind)
        matches = [resource for resource in candidates if name in {"", resource.name, object_name(resource)}]
        assert len(matches) == 1, f"{kind} {name!r}: {[resource.name for resource in candidates]}"
        return matches[0]

    def objects(self) -> Iterator[RegisteredResource]:
        """Objects of the Kubernetes API."""
        for resource in self.resources.values():
            if resource.type.startswith("kubernetes:") and "apiVersion" in resource.inputs:
                yield resource

    def prerequisites(self, urn: str) -> set[str]:
        """URNs that must exist before a resource, directly or indirectly. A destroy uses the reverse order."""
        prerequisites: set[str] = set()
        pending = [urn]
        while pending:
            for dependency in self.resources[pending.pop()].dependencies - prerequisites:
                if dependency in self.resources:  # a resource that the program reads has no record
                    prerequisites.add(dependency)
                    pending.append(dependency)
        return prerequisites


class Engine(mocks.MockMonitor):
    """Engine that answers the program and records its requests."""

    def __init__(self, answer: Callable[[str, JsonObject], JsonObject]) -> None:
        super().__init__(_Unused())
        self.record = Record()
        self._answer = answer
        self._urns: set[str] = set()

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802, ANN401 - as in Pulumi
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            self._urns.add(urn)
            return resource_pb2.RegisterResourceResponse(urn=urn)
        if urn in self._urns:
            raise ValueError(f"Duplicate resource URN {urn}")
        for other in (request.parent, *request.dependencies):
            if other and other not in self._urns:
                raise ValueError(f"{urn} refers to {other!r}, which is not registered")
        self._urns.add(urn)
        self.record.resources[urn] = _registered(urn, request)
        state = struct_pb2.Struct()
        state.CopyFrom(request.object)
        self._compute(request, state)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id", object=state)

    def RegisterResourceOutputs(self, request: Any) -> empty_pb2.Empty:  # noqa: N802, ANN401 - as in Pulumi
        if f"::{STACK_TYPE}::" in request.urn:
            self.record.outputs.update(json_format.MessageToDict(request.outputs))
        return empty_pb2.Empty()

    def ReadResource(self, request: resource_pb2.ReadResourceRequest) -> Any:  # noqa: N802, ANN401 - as in Pulumi
        urn = self.make_urn(request.parent, request.type, request.name)
        self._urns.add(urn)
        state = struct_pb2.Struct()
        state.update(self._answer(request.type, json_format.MessageToDict(request.properties)))
        return resource_pb2.ReadResourceResponse(urn=urn, properties=state)

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> Any:  # noqa: N802, ANN401 - as in Pulumi
        arguments = json_format.MessageToDict(request.args)
        self.record.calls.append((request.tok, arguments))
        answer = struct_pb2.Struct()
        answer.update(self._answer(request.tok, arguments))
        return resource_pb2.ResourceInvokeResponse(**{"return": answer})

    def _compute(self, request: resource_pb2.RegisterResourceRequest, state: struct_pb2.Struct) -> None:
        """Add the outputs that a provider would compute."""
        if request.type == "random:index/randomPassword:RandomPassword":
            secret = f"Generated0{request.name}".replace("-", "").ljust(40, "x")
            self.record.generated[request.name] = secret
            state.update({"result": {SIGNATURE: SECRET, "value": secret}})
        if request.type == "kubernetes:helm.sh/v3:Release":
            state.update({"status": {"name": dict(request.object)["name"], "status": "deployed"}})


class _Unused(mocks.Mocks):
    def call(self, args: mocks.MockCallArgs) -> Any:  # noqa: ANN401 - as in Pulumi
        raise NotImplementedError(args.token)

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:  # noqa: ANN401 - as in Pulumi
        raise NotImplementedError(args.name)


def run(
    program: Callable[[], None],
    *,
    config: Mapping[str, str],
    secret_keys: Sequence[str] = (),
    answer: Callable[[str, JsonObject], JsonObject] = lambda _kind, _arguments: {},
) -> Record:
    """Run a program until all its tasks have ended.

    Args:
        program: Function that registers resources.
        config: Configuration of the stack; each key contains the project's name.
        secret_keys: Keys whose values the stack's file stores encrypted.
        answer: Result of a provider function, or outputs of another stack, by type and arguments.
    """
    # Pulumi keeps every stack frame for each resource. A new thread has few frames.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, program, config, secret_keys, answer).result()


def _run(
    program: Callable[[], None],
    config: Mapping[str, str],
    secret_keys: Sequence[str],
    answer: Callable[[str, JsonObject], JsonObject],
) -> Record:
    engine = Engine(answer)
    pulumi.runtime.set_all_config(dict(config), list(secret_keys))
    settings.SETTINGS.outputs.clear()  # a failed run may have left outputs
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # with mocks, Pulumi binds futures to the current loop
    try:
        mocks.set_mocks(engine.mocks, project="manta", stack="test", monitor=engine, logger=logging.getLogger("engine"))
        settings.SETTINGS.root_directory = ""  # no stack's file: every key of the configuration counts as set
        # The mocks register a stack too; the stack of the program replaces it.
        settings.set_root_resource(cast("pulumi.Resource", None))
        loop.run_until_complete(stack.run_in_stack(program))
    finally:
        _abandon(loop)
    return engine.record


def _abandon(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that a failed program left; the test receives the failure by itself."""
    loop.set_exception_handler(lambda _loop, _context: None)
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


def unwrap(value: Any, *, hide: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """Turn wire format into plain values; secrets in plain text or hidden."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return HIDDEN if hide else unwrap(value["value"])
        return {key: unwrap(inner, hide=hide) for key, inner in value.items()}
    if isinstance(value, list):
        return [unwrap(inner, hide=hide) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def object_name(resource: RegisteredResource) -> str:
    """Name of a Kubernetes object in the cluster."""
    return str((resource.inputs.get("metadata") or {}).get("name", ""))


def _registered(urn: str, request: resource_pb2.RegisterResourceRequest) -> RegisteredResource:
    input_urns = {urn for inputs in request.propertyDependencies.values() for urn in inputs.urns}
    timeouts = request.customTimeouts
    return RegisteredResource(
        urn=urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        raw=json_format.MessageToDict(request.object),
        dependencies=frozenset(input_urns | set(request.dependencies)),
        provider=request.provider or dict(request.providers).get("kubernetes", ""),
        retain_on_delete=request.retainOnDelete,
        is_protected=request.protect,
        timeouts=(timeouts.create, timeouts.update, timeouts.delete),
    )
