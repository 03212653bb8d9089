"""Which ONNX models may be read: only standard operators, and no data outside the file."""

from collections.abc import Iterator
from typing import Any, Final

from app.errors import ModelRefusedError

DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Domains of the operators of the ONNX standard. Operators of other domains load code."""

REFUSED_OPERATORS: Final = frozenset({"Loop", "Scan"})
"""Operators that repeat a part of the model as often as its input says."""

MAX_BYTES: Final = 1024 * 2**20
"""Maximum size of a file. Protocol buffers hold at most twice as much."""


def check(model: Any, *, label: str) -> None:  # noqa: ANN401 - an onnx.ModelProto; the package is optional
    """Refuse a model that needs more than ONNX Runtime and its own file.

    Args:
        model: The parsed file.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The model has an operator or a function of another domain, a loop, training information, or
            data outside the file.
    """
    if model.functions or model.training_info:
        raise _refused(label, "has functions or training information")
    domains = {operators.domain for operators in model.opset_import} - DOMAINS
    if domains:
        raise _refused(label, f"uses operators of the domain {', '.join(sorted(domains))}")
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.domain not in DOMAINS:
                raise _refused(label, f"uses the operator {node.domain}.{node.op_type}")
            if node.op_type in REFUSED_OPERATORS:
                raise _refused(label, f"uses the operator {node.op_type}")
        if any(tensor.external_data or tensor.data_location for tensor in _tensors(graph)):
            raise _refused(label, "keeps data in another file")


def _graphs(graph: Any) -> Iterator[Any]:  # noqa: ANN401 - an onnx.GraphProto
    """Yield a graph and all graphs in the attributes of its nodes."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                waiting += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _tensors(graph: Any) -> Iterator[Any]:  # noqa: ANN401 - an onnx.GraphProto
    """Yield every tensor of one graph."""
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            sparse += [
                *attribute.sparse_tensors,
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
            ]
    for tensor in sparse:
        yield tensor.values
        yield tensor.indices


def _refused(label: str, what: str) -> ModelRefusedError:
    return ModelRefusedError(
        f"{label} is an ONNX model that {what}.",
        allowed="operators of the domains ai.onnx and ai.onnx.ml except Loop and Scan, all data in one file",
        next_step="Export the model with standard operators only and all data in one file (in MLflow: "
        "save_as_external_data=False).",
    )
