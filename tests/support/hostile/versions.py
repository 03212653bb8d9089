"""Model versions that try to take a replica down, as edits of stored models."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.support.hostile import edits
from tests.support.hostile.edits import Edit

FAR: Final = 2**40
"""An index so far outside of an array that reading it ends the process."""
DEEP_SCHEMA: Final = b'{"__class__": ' * 100_000
"""A description of a model that is nested too deep for Python's parser."""

FOREST, CALIBRATED, VECTORS, TEXT = "forest_uri", "calibrated_uri", "support_vectors_uri", "text_uri"


@dataclass(frozen=True, kw_only=True)
class HostileVersion:
    """A version whose files are edited before it is loaded."""

    name: str
    base: str
    """Attribute of `BaseModels`: the model that is edited."""
    edit: Edit


def _shifted_counts(array: np.ndarray) -> np.ndarray | None:
    """Change libsvm's numbers of support vectors, the only two 32-bit integers of the model, but not their sum."""
    is_counts = array.dtype == np.int32 and array.shape == (2,)
    return array + np.array([-(2**20), 2**20], dtype=array.dtype) if is_counts else None


def _short_values(array: np.ndarray) -> np.ndarray | None:
    """Cut the values of a tree, so that there are fewer values than nodes."""
    return array[:1] if array.dtype == np.float64 and array.ndim == 3 else None


def _remove_arrays(members: dict[str, bytes]) -> None:
    """Keep only the description of the model."""
    for name in set(members) - {"schema.json"}:
        del members[name]


VERSIONS: Final = tuple(
    HostileVersion(name=name, base=base, edit=edit)
    for name, base, edit in (
        ("memory: an array of 2 GB in a small file", FOREST, edits.inflate),
        ("memory: a file of 1 TB", FOREST, edits.extend),
        ("crash: a node outside of a tree", FOREST, edits.change_nodes(left_child=FAR)),
        ("crash: a node outside of a nested tree", CALIBRATED, edits.change_nodes(left_child=FAR)),
        ("crash: a column outside of a nested tree", CALIBRATED, edits.change_nodes(feature=FAR)),
        ("crash: fewer values than nodes", CALIBRATED, edits.change_arrays(_short_values)),
        ("crash: support vectors outside of their array", VECTORS, edits.change_arrays(_shifted_counts)),
        (
            "crash: a schema nested too deep",
            FOREST,
            edits.change_members(lambda m: m.update({"schema.json": DEEP_SCHEMA})),
        ),
        ("hang: a nested tree with a cycle", CALIBRATED, edits.change_nodes(left_child=0, right_child=0)),
        ("hang: a pattern that takes exponential time", TEXT, edits.set_example(["a" * 60 + "!"])),
        ("path: a valid file in another folder", FOREST, edits.outside),
        ("path: a parent folder", FOREST, edits.set_metadata("../model.skops", "flavors", "sklearn", "pickled_model")),
        (
            "path: a file of the system",
            FOREST,
            edits.set_metadata("/etc/passwd", "flavors", "sklearn", "pickled_model"),
        ),
        ("path: an endless device", FOREST, edits.set_metadata("/dev/zero", "flavors", "sklearn", "pickled_model")),
        (
            "path: example in another folder",
            FOREST,
            edits.set_metadata("../../../mlflow.db", "saved_input_example_info", "artifact_path"),
        ),
        (
            "path: example of an endless device",
            FOREST,
            edits.set_metadata("/dev/zero", "saved_input_example_info", "artifact_path"),
        ),
        ("lie: one more column", FOREST, edits.set_signature(*((name, "double") for name in "abcd"))),
        ("lie: one column less", FOREST, edits.set_signature(("length", "double"), ("width", "double"))),
        ("lie: other names of columns", FOREST, edits.set_signature(*((name, "double") for name in "abc"))),
        ("lie: no columns", FOREST, edits.set_metadata("[]", "signature", "inputs")),
        ("lie: a signature that is no JSON", FOREST, edits.set_metadata("{", "signature", "inputs")),
        ("lie: other predictions", FOREST, edits.set_metadata(["big"] * 4, "metadata", "example_predictions")),
        (
            "lie: predictions that are an object",
            FOREST,
            edits.set_metadata({"a": [None]}, "metadata", "example_predictions"),
        ),
        (
            "lie: probabilities of another shape",
            FOREST,
            edits.set_metadata([[1.0]], "metadata", "example_probabilities"),
        ),
        (
            "lie: probabilities of two lengths",
            FOREST,
            edits.set_metadata([[1.0], [1.0, 2.0]], "metadata", "example_probabilities"),
        ),
        ("lie: an example of other columns", FOREST, edits.set_example([1, 2], columns=["x", "y"])),
        ("lie: an example without rows", FOREST, edits.set_example()),
        ("lie: an example of text", FOREST, edits.set_example(["x", "y", "z"])),
        (
            "lie: no model file in the metadata",
            FOREST,
            edits.change_metadata(lambda d: d["flavors"]["sklearn"].pop("pickled_model")),
        ),
        ("lie: metadata that is a list", FOREST, edits.set_metadata([1], "metadata")),
        ("lie: flavors that are text", FOREST, edits.set_metadata("sklearn", "flavors")),
        (
            "lie: a version of scikit-learn that is a list",
            FOREST,
            edits.set_metadata([1], "flavors", "sklearn", "sklearn_version"),
        ),
        ("damaged: no MLmodel", FOREST, edits.remove("MLmodel")),
        ("damaged: an empty MLmodel", FOREST, edits.write("MLmodel", b"")),
        ("damaged: an MLmodel that is no text", FOREST, edits.write("MLmodel", b"\xff\xfe\x00" * 1000)),
        ("damaged: an MLmodel of nested lists", FOREST, edits.write("MLmodel", b"[" * 20_000)),
        ("damaged: no model file", FOREST, edits.remove(edits.MODEL_FILE)),
        ("damaged: an empty model file", FOREST, edits.write(edits.MODEL_FILE, b"")),
        ("damaged: a model file without members", FOREST, edits.change_members(lambda m: m.clear())),
        ("damaged: a schema without arrays", FOREST, edits.change_members(_remove_arrays)),
        ("damaged: an example that is no JSON", FOREST, edits.write("input_example.json", b"{")),
    )
)

DEADLY: Final = [
    version
    for version in VERSIONS
    if version.name.startswith(("memory: an", "crash: a node outside of a nested", "hang: a pattern"))
]
