"""`manta feedback`: send the true values of rows that were predicted."""

from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli import destination
from app.cli.service.client import call
from app.cli.shared_options import PlatformOption
from app.errors import DataError, MantaError
from app.settings import settings

COLUMNS: Final = ("request_id", "row", "label")
"""Columns of the file."""

BATCH_LABELS: Final = 1_000
"""Maximum number of labels in one request."""


def feedback(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV or Parquet file with the columns request_id, row and label. Without the column row: row 0.",
            show_default=False,
        ),
    ],
    *,
    stack: PlatformOption = "",
) -> None:
    """Send the true values of rows that were predicted.

    Each label belongs to one row of a request: the header X-Request-Id of the answer, and the index of the row.
    Sending a label again is safe: the last label of a row counts.

    Example: manta feedback labels.csv
    """
    labels = read_labels(file)
    with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
        for start in range(0, len(labels), BATCH_LABELS):
            try:
                call(endpoints, "POST", "/feedback", body={"labels": labels[start : start + BATCH_LABELS]})
            except MantaError as error:
                error.detail = f"{start} of {len(labels)} labels were stored. {error.detail}"
                raise
    typer.echo(f"{len(labels)} labels were stored.")


def read_labels(file: Path) -> list[dict[str, object]]:
    """Read the labels of a file.

    Raises:
        DataError: The file cannot be read, lacks a column, has no rows, or has a row without a value.
    """
    import pandas as pd  # noqa: PLC0415 - pandas takes half a second to import

    try:
        if file.suffix.lower() == ".parquet":
            table = pd.read_parquet(file)
        else:
            table = pd.read_csv(file, dtype={"request_id": str})
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", allowed="a CSV or a Parquet file") from error
    if "row" not in table.columns:
        table["row"] = 0
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"{file} lacks the column {missing[0]!r}.", allowed=f"the columns {', '.join(COLUMNS)}")
    table = table[list(COLUMNS)]
    if table.empty:
        raise DataError(f"{file} has no rows.", next_step="Give a file with at least one label.")
    if table.isna().to_numpy().any():
        line = int(table.isna().any(axis=1).to_numpy().argmax())
        raise DataError(f"Row {line} of {file} has no value in one of the columns.", next_step="Drop the row.")
    if not pd.api.types.is_integer_dtype(table["row"]):
        raise DataError(f"The column 'row' of {file} holds values that are no whole numbers.")
    labels = table["label"].astype(object).tolist()
    for line, label in enumerate(labels):
        if not isinstance(label, bool | int | float | str):
            raise DataError(
                f"Row {line} of {file} has a label of the type {type(label).__name__}.",
                allowed="text, numbers, true and false",
            )
    return [
        {"request_id": str(request_id), "row": int(row), "label": label}
        for request_id, row, label in zip(table["request_id"], table["row"], labels, strict=True)
    ]
