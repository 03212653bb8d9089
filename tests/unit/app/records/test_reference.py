from pathlib import Path

import pyarrow as pa
import pytest
from mlflow.entities.model_registry import ModelVersion

from app.errors import DataError
from app.records import reference
from app.records.reference import ColumnProfile, Profile, Reference

REFERENCE = Reference(
    profile=Profile(
        source="training",
        row_count=3,
        columns=[ColumnProfile(name="a", kind="number", missing=0)],
        task="classification",
        metric="f1",
        margin=0.0,
        classes=["no", "yes"],
        held_out_count=1,
    ),
    rows=pa.table({"feature.a": [1.0, None, 3.0]}),
    held_out=pa.table({"feature.a": [1.0], "prediction": ["no"], "probabilities": [[0.9, 0.1]], "label": ["no"]}),
)


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    REFERENCE.write(tmp_path)

    assert Reference.read(tmp_path, label="m version 1") == REFERENCE


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("profile.json", b'{"format": 2}'),
        ("profile.json", b"{"),
        ("rows.parquet", b"PAR1"),
        ("held_out.parquet", None),
    ],
)
def test_a_damaged_reference_is_an_error_that_names_the_version(
    tmp_path: Path, file: str, content: bytes | None
) -> None:
    REFERENCE.write(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)

    with pytest.raises(DataError, match=r"The reference of m version 1 cannot be read: .* Train the model again"):
        Reference.read(tmp_path, label="m version 1")


def test_a_version_without_a_reference_is_an_error_that_says_why() -> None:
    version = ModelVersion(name="m", version="2", creation_timestamp=0)

    with pytest.raises(DataError, match=r"m version 2 has no reference\. An earlier release registered it"):
        reference.fetch(version, uri="http://127.0.0.1:1")
