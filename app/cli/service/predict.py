"""`manta predict`: predict the rows of a file with one version of the loaded model."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli import destination
from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.cli.service import answers
from app.cli.service.client import ApiError, call
from app.cli.service.rows import FileKind, ModelColumns, Value, file_kind, read_batches
from app.cli.shared_options import PlatformOption
from app.errors import DataError, ParameterError, PlatformError
from app.settings import settings

MAX_BODY_BYTES: Final = 4 * 1024**2
"""Largest body of a request. The service accepts 8 MiB."""

ATTEMPTS: Final = 2
"""Number of times that a file is sent, if another version is loaded meanwhile."""

POSITIONAL_TYPES: Final = frozenset({"double", "float", "long", "integer"})
"""Types of columns whose rows can be sent by position, which takes fewer bytes than by name."""

FORMATS: Final = (".csv", ".parquet")
"""Endings of the files that `--output` writes."""


class VersionChangedError(PlatformError):
    """Another version was loaded while the rows of a file were predicted."""

    title = "Version changed"


def predict(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE.csv|FILE.parquet|FILE.json|-", help="File with rows; - for standard input."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv|FILE.parquet",
            help="File for the predictions (default: CSV on standard output).",
            show_default=False,
        ),
    ] = None,
    stack: PlatformOption = "",
) -> None:
    """Predict the rows of a CSV, Parquet or JSON file with the loaded model.

    The file names the model's columns, in any order. It may be larger than memory.
    The output has the prediction, the class probabilities and what else the model gives, for each row.
    All rows are predicted by one version, or nothing is written.

    A JSON file holds a list of rows, or the body of a prediction request.
    The output is the JSON response of the service.

    Example: manta predict rows.csv --output predictions.parquet
    """
    if output is not None and output.suffix not in FORMATS:
        raise ParameterError(f"--output {output} has no known file ending.", allowed=" or ".join(FORMATS))
    with _as_file(file) as path, tempfile.TemporaryDirectory(prefix="manta-predict-") as scratch:
        kind = file_kind(path, name=file)
        with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
            if kind == "json":
                _predict_json(endpoints, path, file, output)
                return
            result = Path(scratch) / "result"
            _predict_file(endpoints, path, kind, result, name=file, is_parquet=bool(output and output.suffix != ".csv"))
        if output is None:
            with result.open(encoding="utf-8") as text:
                shutil.copyfileobj(text, sys.stdout)
        else:
            _move(result, output)


@contextmanager
def _as_file(file: str) -> Iterator[Path]:
    """The path of the file. Standard input is copied to a file, so that it can be read twice."""
    if file != "-":
        yield Path(file)
        return
    with tempfile.NamedTemporaryFile(prefix="manta-predict-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Path(copy.name)


def _predict_json(endpoints: Endpoints, path: Path, name: str, output: Path | None) -> None:
    if output is not None:
        raise ParameterError(
            f"--output cannot be used with the JSON file {name}.",
            allowed="--output with CSV and Parquet files",
            next_step="Drop --output; the JSON response goes to standard output.",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is not JSON: {error}.", next_step="Correct the file.") from error
    if isinstance(content, list):
        content = {"rows" if content and isinstance(content[0], dict) else "features": content}
    typer.echo(json.dumps(call(endpoints, "POST", "/predict", body=content)))


def _predict_file(
    endpoints: Endpoints, path: Path, kind: FileKind, result: Path, *, name: str, is_parquet: bool
) -> None:
    """Predict all rows with one version. If another version is loaded meanwhile, start again once.

    Raises:
        VersionChangedError: The version changed in each attempt.
    """
    for attempt in range(1, ATTEMPTS + 1):
        model = call(endpoints, "GET", "/model")
        if not model["model_loaded"]:
            raise PlatformError("No model is loaded.", next_step="Load a model: `manta load`.")
        try:
            with answers.writer(result, is_parquet=is_parquet) as table:
                for columns in _answers(endpoints, model, path, kind, name=name):
                    table.write(columns)
        except VersionChangedError as error:
            if attempt == ATTEMPTS:
                raise
            typer.echo(f"{error.detail} Starting again.", err=True)
        else:
            return


def _answers(
    endpoints: Endpoints, model: JsonObject, path: Path, kind: FileKind, *, name: str
) -> Iterator[answers.Columns]:
    """Send the rows of a file in batches, and yield the answer to each request."""
    columns, version, first_row = ModelColumns.of(model), model["model_info"]["version"], 1
    for batch in read_batches(path, kind, columns, name=name, report=_warn):
        for rows, body in _requests(batch, columns):
            try:
                response = call(endpoints, "POST", "/predict", body=body)
            except ApiError as error:
                last_row = first_row + len(rows) - 1
                raise ApiError(
                    f"The service refuses the rows {first_row} to {last_row} of {name}, which it counts from 0: "
                    f"{error.detail}",
                    allowed=error.allowed,
                    next_step=error.next_step,
                ) from error
            if response["model_version"] != version:
                raise VersionChangedError(
                    f"Version {response['model_version']} was loaded in place of version {version} while {name} was "
                    "predicted.",
                    next_step="Nothing was written. Run the command again when no load or rollout is in progress.",
                )
            first_row += len(rows)
            yield answers.to_columns(response, model)


def _requests(
    rows: Sequence[dict[str, Value]], columns: ModelColumns
) -> Iterator[tuple[Sequence[dict[str, Value]], JsonObject]]:
    """Divide rows into requests whose bodies are small enough."""
    body: JsonObject = {"rows": rows}
    if POSITIONAL_TYPES.issuperset(columns.types.values()):
        body = {"features": [[row.get(name) for name in columns.types] for row in rows]}
    if len(rows) > 1 and len(json.dumps(body)) > MAX_BODY_BYTES:
        half = len(rows) // 2
        yield from _requests(rows[:half], columns)
        yield from _requests(rows[half:], columns)
    else:
        yield rows, body


def _move(result: Path, output: Path) -> None:
    """Put the finished file in its place. The old file stays until the new one is complete."""
    incomplete = output.with_name(f".{output.name}.incomplete")
    try:
        shutil.move(result, incomplete)
        incomplete.replace(output)
    except OSError as error:
        incomplete.unlink(missing_ok=True)
        raise DataError(
            f"{output} cannot be written: {error.strerror}.", next_step="Choose another file with --output."
        ) from error


def _warn(message: str) -> None:
    typer.echo(message, err=True)
