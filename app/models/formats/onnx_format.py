"""ONNX models, as skl2onnx and other converters write them and `mlflow.onnx.log_model` stores them.

The file holds a graph of standard operators; `app.models.formats.onnx_checks` refuses everything else. ONNX Runtime
reads it with native code, so a child process reads each file first; see `app.serving.loading.child`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from app.errors import ModelRefusedError
from app.models.formats import extras, onnx_checks, onnx_classes
from app.models.formats.stored_model import ONNX, Storage

PROVIDERS: Final = ["CPUExecutionProvider"]

NUMBERS: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
"""Types of inputs and outputs, with numpy's types."""

LABEL_TYPES: Final = ("tensor(int64)", "tensor(string)")
NUMBER_TYPES: Final = ("tensor(float)", "tensor(double)")
PROBABILITIES: Final = (*NUMBER_TYPES, "seq(map(")
"""Start of the types of the output with the probabilities."""


def file_name(flavor: Mapping[str, Any]) -> tuple[str, Storage]:
    """Return the name of the model's file and its storage, from MLflow's flavor `onnx`."""
    return str(flavor["data"]), Storage(format=ONNX)


def load(path: Path, _: Mapping[str, str], label: str) -> BaseEstimator:
    """Read a model.

    Args:
        path: The file.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: ONNX is not installed here, the file is too large, the model needs more than the standard
            operators and its own file, or its outputs are not those of a classifier or regressor.
    """
    onnx = extras.require("onnx", label=label)
    size = path.stat().st_size
    if size > onnx_checks.MAX_BYTES:
        raise ModelRefusedError(
            f"The file of {label} has {size:,} bytes.",
            allowed=f"{onnx_checks.MAX_BYTES:,} bytes",
            next_step="Train a smaller model.",
        )
    content = path.read_bytes()
    proto = onnx.load_model_from_string(content)
    onnx_checks.check(proto, label=label)
    return wrap(content, proto, label=label)


def can_store(model: object) -> bool:
    """Whether a model is an ONNX model that `wrap` built."""
    return isinstance(model, _OnnxModel)


def log(model: Any, **options: Any) -> str:  # noqa: ANN401 - a model that `wrap` built, and MLflow's options
    """Log an ONNX model in the active run, and return its URI.

    Args:
        model: The model.
        options: Options of `mlflow.onnx.log_model`.
    """
    import mlflow.onnx  # noqa: PLC0415 - needs the optional package

    proto = extras.require("onnx", label="The model").load_model_from_string(model.content)
    info = mlflow.onnx.log_model(proto, save_as_external_data=False, **options)
    return str(info.model_uri)


def wrap(content: bytes, proto: Any, *, label: str) -> BaseEstimator:  # noqa: ANN401 - an onnx.ModelProto
    """Build the classifier or the regressor that a checked model is.

    Args:
        content: The model as it is stored.
        proto: The same model, parsed.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: ONNX Runtime is not installed here, or the outputs are not those of a classifier or
            regressor.
    """
    session = _session(content, label)
    unknown = sorted({value.type for value in session.get_inputs()} - NUMBERS.keys())
    outputs = [value.type for value in session.get_outputs()]
    if unknown:
        raise _unsupported(label, f"an input of the type {unknown[0]}")
    if len(outputs) == 1 and outputs[0] in NUMBER_TYPES:
        return OnnxRegressor(session, content)
    if len(outputs) == 2 and outputs[0] in LABEL_TYPES and outputs[1].startswith(PROBABILITIES):  # noqa: PLR2004
        classes = onnx_classes.find(proto)
        if classes is None:
            raise _unsupported(label, "labels, but no operator that names the classes")
        return OnnxClassifier(session, content, classes)
    raise _unsupported(label, f"the outputs {', '.join(outputs)}")


class _OnnxModel(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An ONNX model with scikit-learn's interface.

    The model takes either one matrix with all columns, or one matrix of one column for each column.

    Args:
        session: ONNX Runtime's `InferenceSession`.
        content: The model as it is stored.
    """

    def __init__(self, session: Any, content: bytes) -> None:  # noqa: ANN401 - the package is optional
        self.session = session
        self.content = content

    @property
    def n_features_in_(self) -> int:
        """Number of columns.

        Raises:
            AttributeError: The model does not say it.
        """
        inputs = self.session.get_inputs()
        width = inputs[0].shape[-1] if len(inputs) == 1 else len(inputs)
        if not isinstance(width, int):
            raise AttributeError("the width of the input is not fixed")  # noqa: TRY004 - scikit-learn asks by `hasattr`
        return width

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns.

        Raises:
            AttributeError: The model takes one matrix, whose columns have no names.
        """
        inputs = self.session.get_inputs()
        if len(inputs) == 1:
            raise AttributeError("the columns have no names")
        return np.array([value.name for value in inputs], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _run(self, rows: np.ndarray | pd.DataFrame) -> list[Any]:
        """Return the outputs for rows."""
        inputs = self.session.get_inputs()
        if len(inputs) == 1:
            columns = {inputs[0].name: np.asarray(rows)}
        else:
            columns = {value.name: np.asarray(rows[value.name]).reshape(-1, 1) for value in inputs}
        feed: dict[str, np.ndarray] = {value.name: columns[value.name].astype(NUMBERS[value.type]) for value in inputs}
        outputs: list[Any] = self.session.run(None, feed)
        return outputs


class OnnxClassifier(ClassifierMixin, _OnnxModel):  # type: ignore[misc] # scikit-learn has no types
    """An ONNX model with labels and probabilities as outputs.

    Args:
        session: ONNX Runtime's `InferenceSession`.
        content: The model as it is stored.
        classes: Shape (classes,): the classes, in the order of the probabilities.
    """

    def __init__(self, session: Any, content: bytes, classes: np.ndarray) -> None:  # noqa: ANN401 - optional package
        super().__init__(session, content)
        self.classes = classes

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of the probabilities."""
        return self.classes

    def predict(self, rows: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Return the label of each row."""
        return np.asarray(self._run(rows)[0]).reshape(-1).astype(self.classes.dtype)

    def predict_proba(self, rows: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Return the probabilities, of shape (rows, classes), float64."""
        answers = self._run(rows)[1]
        if isinstance(answers, list):
            answers = [[row[label] for label in self.classes.tolist()] for row in answers]
        table = np.asarray(answers, dtype=np.float64)
        return np.column_stack([1 - table, table]) if table.shape[1] == 1 else table


class OnnxRegressor(RegressorMixin, _OnnxModel):  # type: ignore[misc] # scikit-learn has no types
    """An ONNX model with numbers as output."""

    def predict(self, rows: np.ndarray | pd.DataFrame) -> np.ndarray:
        """Return the numbers of each row, float64: shape (rows,), or (rows, outputs) for several."""
        table = np.asarray(self._run(rows)[0], dtype=np.float64)
        return table.reshape(-1) if table.ndim == 1 or table.shape[1] == 1 else table


def _session(content: bytes, label: str) -> Any:  # noqa: ANN401 - an InferenceSession; the package is optional
    runtime = extras.require("onnxruntime", label=label)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # requests already run in parallel
    options.log_severity_level = 3  # errors
    return runtime.InferenceSession(content, sess_options=options, providers=PROVIDERS)


def _unsupported(label: str, what: str) -> ModelRefusedError:
    return ModelRefusedError(
        f"{label} is an ONNX model with {what}.",
        allowed="inputs of numbers or text; one output of numbers, or labels and their probabilities",
        next_step="Convert the model with skl2onnx, or train it as a scikit-learn model.",
    )
