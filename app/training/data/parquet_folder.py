"""A folder of Parquet files as one table, with the folders' names `column=value` as columns.

`app.training.data.object_stores` connects to a store. `app.training.data.tables` reads single files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import dataset as parquet_dataset
from pyarrow import fs

from app.errors import DataError, first_line
from app.training.data.files import changed_error
from app.training.data.memory import check_fits


def read_folder(filesystem: Any, path: str, *, source: str) -> pd.DataFrame:  # noqa: ANN401 - pyarrow has no types
    """Read all Parquet files below a folder, in the order of their paths.

    Files and folders whose names start with `.` or `_` are left out.

    Args:
        filesystem: A pyarrow file system.
        path: The folder.
        source: Path or URL that the user gave.

    Raises:
        DataError: There are no Parquet files, a file cannot be read or has other columns types than the others, the
            rows do not fit the memory, or a file was changed meanwhile.
    """
    with _read_errors(source):
        before = _list_files(filesystem, path)
        if not before:
            raise DataError(
                f"{source} is a folder without Parquet files.",
                allowed="a folder of .parquet files, or one file",
                next_step="Name a file in the folder, or save the table as Parquet.",
            )
        table = parquet_dataset.dataset(
            list(before), filesystem=filesystem, format="parquet", partitioning="hive", partition_base_dir=path
        )
        fragments = list(table.get_fragments())
        # The schema of a data set is that of its first file. Columns that only other files have would be lost.
        schemas = [table.schema, *(fragment.physical_schema for fragment in fragments)]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        rows = sum(fragment.metadata.num_rows for fragment in fragments)
        size_bytes = sum(group.total_byte_size for fragment in fragments for group in fragment.row_groups)
        check_fits(rows * len(schema), size_bytes, source)
        content = table.replace_schema(schema).to_table()
        if _list_files(filesystem, path) != before:
            raise changed_error(source)
        # With these options a column of the table is freed as soon as it is converted.
        frame: pd.DataFrame = content.to_pandas(split_blocks=True, self_destruct=True)
        return frame


@contextmanager
def _read_errors(source: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{source} cannot be read as a folder of Parquet files: {first_line(error)}",
            next_step="Check that every file is complete and has the same types of columns.",
        ) from error


def _list_files(filesystem: Any, path: str) -> dict[str, tuple[int | None, int | None]]:  # noqa: ANN401 - pyarrow has no types
    """Return size and time of the last change of each Parquet file below a folder, by path in ascending order."""
    files = {}
    for info in filesystem.get_file_info(fs.FileSelector(path, recursive=True)):
        parts = PurePosixPath(info.path).relative_to(PurePosixPath(path)).parts
        is_hidden = any(part.startswith((".", "_")) for part in parts)
        if info.type == fs.FileType.File and not is_hidden and info.path.lower().endswith(".parquet"):
            files[info.path] = (info.size, info.mtime_ns)
    return dict(sorted(files.items()))
