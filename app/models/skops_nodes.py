"""Checks the nodes of a skops file, before skops builds anything from them.

skops compares each name in a file with a list of trusted names. That is not enough for functions: some kinds of nodes
call what they name, with arguments from the file. `app.models.trusted_types` has the names.
"""

import json
from pathlib import Path
from typing import IO, Any, Final
from zipfile import ZipFile

from app.models.trusted_types import FUNCTIONS

SCHEMA: Final = "schema.json"
"""The file inside a skops file that describes the nodes."""

CALLING_NODES: Final = frozenset({"ConstructorFromReduceNode", "MethodNode", "OperatorFuncNode", "PartialNode"})
"""Kinds of nodes that call what they name, or bind arguments to it. No estimator of scikit-learn needs them."""

LOSS_MODULES: Final = frozenset({"sklearn._loss._loss", "sklearn.linear_model._sgd_fast"})
"""Modules of the losses, which a `LossNode` calls."""


def check_nodes(path: Path | IO[bytes]) -> None:
    """Refuse a file in which a node calls what it names, or in which an object is built from a trusted function.

    Args:
        path: A skops file, or its content.

    Raises:
        UntrustedTypesFoundException: There is such a node.
        Exception: The file is damaged.
    """
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415 - see `app.models.artifact`

    with ZipFile(path) as file:
        waiting: list[Any] = [json.loads(file.read(SCHEMA))]  # a file may hold any JSON
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            if "__loader__" in node and not _is_used_well(node):
                raise UntrustedTypesFoundException(
                    {f"{node.get('__module__')}.{node.get('__class__')} ({node['__loader__']})"}
                )


def _is_used_well(node: dict[str, Any]) -> bool:
    loader, module = node["__loader__"], node.get("__module__")
    if loader == "LossNode":
        return module in LOSS_MODULES
    name = f"{module}.{node.get('__class__')}"
    return loader not in CALLING_NODES and (loader == "FunctionNode" or name not in FUNCTIONS)
