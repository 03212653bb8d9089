"""The classes of an ONNX classifier, which its file does not list in one place."""

from typing import Any, Final

import numpy as np

CLASS_ATTRIBUTES: Final = frozenset({"classlabels_strings", "classlabels_int64s", "classlabels_ints"})
"""Attributes of the operators of ai.onnx.ml that name the classes."""

MAX_STEPS: Final = 20
"""Operators that are visited between the labels and the operator that names the classes."""


def find(model: Any) -> np.ndarray | None:  # noqa: ANN401 - an onnx.ModelProto; the package is optional
    """Return the classes, in the order of the probabilities: 64-bit integers or text; None if the model has none.

    The search goes back from the labels, the first output: to an operator that names the classes, or to one that takes
    a label out of a constant.
    """
    import onnx.numpy_helper  # noqa: PLC0415 - needs the optional package

    producers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    node = producers.get(model.graph.output[0].name)
    for _ in range(MAX_STEPS):
        if node is None:
            return None
        for attribute in node.attribute:
            if attribute.name in CLASS_ATTRIBUTES and (attribute.strings or attribute.ints):
                return np.array([text.decode() for text in attribute.strings] or list(attribute.ints))
        name = next(iter(node.input), "")
        if name in constants:
            return _to_classes(onnx.numpy_helper.to_array(constants[name]))
        node = producers.get(name)
    return None


def _to_classes(constant: np.ndarray) -> np.ndarray | None:
    if constant.ndim != 1 or len(constant) == 0:
        return None
    return constant.astype(str) if constant.dtype.kind == "O" else constant.astype(np.int64)
