import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.onnx
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.errors import ModelRefusedError
from app.models import artifact
from app.models.predictor import compile_model
from tests.support.stored_models import diabetes, save, wine

LABELS = {0: "low", 1: "middle", 2: "high"}


def linear(*, name: str = "linear", **changes: Any) -> onnx.ModelProto:  # noqa: ANN401 - parts of the model
    """A model that multiplies rows of 13 columns with a matrix."""
    weights = numpy_helper.from_array(np.ones((13, 1), dtype=np.float32), "weights")
    graph = helper.make_graph(
        changes.get("nodes", [helper.make_node("MatMul", ["X", "weights"], ["Y"])]),
        name,
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 13])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])],
        [changes.get("weights", weights)],
    )
    opsets = [helper.make_opsetid("", 17), *changes.get("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=changes.get("functions", []))


def stored(proto: onnx.ModelProto, rows: pd.DataFrame, folder: Path) -> Path:
    """Store a model as MLflow does, without its check, which a hostile file does not pass."""
    path = save(mlflow.onnx.save_model, linear(), rows, folder)
    (path / "model.onnx").write_bytes(proto.SerializeToString())
    return path


LOGISTIC = make_pipeline(StandardScaler(), LogisticRegression())
VOTING = VotingClassifier(
    [("a", LOGISTIC), ("b", RandomForestClassifier(3, random_state=1))], voting="soft", flatten_transform=False
)


@pytest.mark.parametrize(
    ("model", "tensor_type", "probabilities"),
    [
        (RandomForestClassifier(5, random_state=1), DoubleTensorType, "table"),
        (LOGISTIC, FloatTensorType, "dictionaries"),
        (LOGISTIC, FloatTensorType, "table"),
        (LOGISTIC, DoubleTensorType, "table"),
        (VOTING, FloatTensorType, "dictionaries"),
        (VOTING, FloatTensorType, "table"),
    ],
    ids=["forest", "float with dictionaries", "float", "double", "voting with dictionaries", "voting"],
)
@pytest.mark.parametrize("labels", ["text", "numbers"])
def test_a_converted_classifier_gives_its_labels_and_probabilities(
    model: BaseEstimator, tensor_type: type, probabilities: str, labels: str, tmp_path: Path
) -> None:
    rows, target = wine()
    model.fit(rows.to_numpy(), target.map(LABELS).astype(object) if labels == "text" else target)
    proto = to_onnx(
        model,
        initial_types=[("X", tensor_type([None, 13]))],
        options={"zipmap": probabilities == "dictionaries"},
    )
    folder = save(mlflow.onnx.save_model, proto, rows, tmp_path, save_as_external_data=False)

    predictor = compile_model(artifact.read(folder, label="m"), label="m")
    answers = predictor.predict(rows.to_numpy())

    assert predictor.classes == model.classes_.tolist()
    assert answers.predictions.tolist() == model.predict(rows.to_numpy()).tolist()
    assert answers.probabilities is not None
    assert np.allclose(answers.probabilities, model.predict_proba(rows.to_numpy()), atol=1e-5)


def test_a_converted_regressor_gives_its_numbers(tmp_path: Path) -> None:
    rows, target = diabetes()
    model = LinearRegression().fit(rows.to_numpy(), target)
    folder = save(
        mlflow.onnx.save_model,
        to_onnx(model, initial_types=[("X", DoubleTensorType([None, 10]))]),
        rows,
        tmp_path,
        save_as_external_data=False,
    )

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    assert np.allclose(answers.predictions, model.predict(rows.to_numpy()))


def test_a_converted_pipeline_with_text_takes_one_input_for_each_column(tmp_path: Path) -> None:
    rows, target = diabetes()
    rows = rows[["age", "bmi"]].assign(sex=np.where(rows["sex"] > 0, "f", "m")).astype({"sex": object})
    encoder = make_column_transformer((OneHotEncoder(), ["sex"]), remainder="passthrough")
    model = make_pipeline(encoder, LinearRegression()).fit(rows, target)
    types = [
        ("age", DoubleTensorType([None, 1])),
        ("bmi", DoubleTensorType([None, 1])),
        ("sex", StringTensorType([None, 1])),
    ]
    folder = save(mlflow.onnx.save_model, to_onnx(model, initial_types=types), rows, tmp_path)

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy(dtype=object))

    assert np.allclose(answers.predictions, model.predict(rows))


def _with_external_data() -> onnx.ModelProto:
    proto = linear()
    [tensor] = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")
    return proto


def _with_hidden_external_data() -> onnx.ModelProto:
    proto = _with_external_data()
    proto.graph.initializer[0].data_location = TensorProto.DEFAULT
    return proto


def _with_external_constant() -> onnx.ModelProto:
    [tensor] = _with_external_data().graph.initializer
    constant = helper.make_node("Constant", [], ["W"], value=tensor)
    return linear(nodes=[constant, helper.make_node("MatMul", ["X", "W"], ["Y"])])


def _with_custom_operator() -> onnx.ModelProto:
    node = helper.make_node("Run", ["X"], ["Y"], domain="com.example")
    return linear(nodes=[node], opsets=[helper.make_opsetid("com.example", 1)])


def _with_microsoft_operator_in_a_branch() -> onnx.ModelProto:
    node = helper.make_node("FusedMatMul", ["X", "weights"], ["B"], domain="com.microsoft")
    branch = helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("B", TensorProto.FLOAT, None)])
    condition = helper.make_node("Constant", [], ["C"], value=numpy_helper.from_array(np.ones((), dtype=bool)))
    return linear(nodes=[condition, helper.make_node("If", ["C"], ["Y"], then_branch=branch, else_branch=branch)])


def _with_loop() -> onnx.ModelProto:
    return linear(nodes=[helper.make_node("Loop", ["", ""], ["Y"])])


def _with_function() -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["X", "weights"], ["Y"])
    function = helper.make_function("ai.onnx", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 17)])
    return linear(functions=[function])


@pytest.mark.parametrize(
    ("make_proto", "message"),
    [
        (_with_external_data, "keeps data in another file"),
        (_with_hidden_external_data, "keeps data in another file"),
        (_with_external_constant, "keeps data in another file"),
        (_with_custom_operator, "uses operators of the domain com.example"),
        (_with_microsoft_operator_in_a_branch, "uses the operator com.microsoft.FusedMatMul"),
        (_with_loop, "uses the operator Loop"),
        (_with_function, "has functions"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_a_model_that_needs_more_than_its_file_and_standard_operators_is_refused(
    make_proto: Callable[[], onnx.ModelProto], message: str, tmp_path: Path
) -> None:
    rows, _ = wine()
    folder = stored(make_proto(), rows, tmp_path)

    with pytest.raises(ModelRefusedError, match=message):
        artifact.read(folder, label="m")


def test_a_model_with_other_outputs_is_refused(tmp_path: Path) -> None:
    rows, _ = wine()
    proto = linear()
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    proto.graph.output.append(helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 13]))
    folder = stored(proto, rows, tmp_path)

    with pytest.raises(ModelRefusedError, match=r"the outputs tensor\(float\), tensor\(float\)"):
        artifact.read(folder, label="m")


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = wine()
    folder = save(mlflow.onnx.save_model, linear(), rows, tmp_path)
    monkeypatch.setattr("app.models.formats.onnx_checks.MAX_BYTES", 100)

    with pytest.raises(ModelRefusedError, match="Allowed: 100 bytes"):
        artifact.read(folder, label="m")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_model_is_refused_with_the_extra_if_a_package_is_not_installed(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = wine()
    folder = save(mlflow.onnx.save_model, linear(), rows, tmp_path)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ModelRefusedError, match=rf"needs the package {package}.*manta\[onnx\]"):
        artifact.read(folder, label="m")
