"""Files of the prediction log in a local folder. `tests/integration/records` has an S3 server."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import PlatformError
from app.records.log_files import LogFile
from app.records.object_store import ObjectStore

FILE = LogFile(kind="predictions", model="m", version="1", time_ms=1_795_900_000_000, rows=500, writer="r")
TABLE = pa.table({"request_id": [str(index) for index in range(500)]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the log."""
    path = tmp_path / f"date={FILE.day}" / FILE.path
    path.parent.mkdir(parents=True)
    pq.write_table(TABLE, path, compression="zstd")
    return path


def cut(content: bytes) -> bytes:
    return content[:-10]


def break_page(content: bytes) -> bytes:
    return content[:100] + bytes(20) + content[120:]


@pytest.mark.parametrize(("damage", "cause"), [(cut, pa.ArrowInvalid), (break_page, OSError)])
def test_a_damaged_file_is_an_error_that_names_the_file(
    path: Path, tmp_path: Path, damage: Callable[[bytes], bytes], cause: type[Exception]
) -> None:
    store = ObjectStore(tmp_path.as_uri())
    assert store.read(FILE, tmp_path).equals(TABLE)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(PlatformError, match=f"The file {FILE.path} of the prediction log is damaged: ") as raised:
        store.read(FILE, tmp_path)

    assert type(raised.value.__cause__) is cause


def test_a_file_that_was_deleted_is_an_error_of_the_store(path: Path, tmp_path: Path) -> None:
    path.unlink()

    with pytest.raises(PlatformError, match=r"The prediction log at file:///.* cannot be read: "):
        ObjectStore(tmp_path.as_uri()).read(FILE, tmp_path)


def test_a_dictionary_is_stored_for_the_columns_whose_values_repeat(path: Path, tmp_path: Path) -> None:
    columns = {"age": [float(index % 50) for index in range(500)], "weight": [index / 7 for index in range(500)]}
    table = TABLE.append_column("nothing", pa.nulls(500)).append_column("lists", pa.array([[1.0]] * 500))
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    store = ObjectStore(tmp_path.as_uri())

    store.write(FILE, table)

    group = pq.read_metadata(path).row_group(0)
    chunks = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    assert {name: chunks[name].has_dictionary_page for name in ("age", "weight", "request_id")} == {
        "age": True,
        "weight": False,
        "request_id": False,
    }
    assert store.read(FILE, tmp_path).equals(table)
