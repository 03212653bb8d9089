"""`manta load`, `manta predict` and `manta status`: commands that call the application's HTTP API."""

import csv
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from rich.table import Table

from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.cli.progress import console
from app.cli.service.client import LOAD_PATH, ApiError, call
from app.cli.shared_options import JsonOption
from app.errors import DataError, LoadInProgressError, PlatformError
from app.settings import settings

BATCH_ROWS: Final = 1000
"""Rows of a CSV file in one prediction request."""

LOAD_RETRIES: Final = 10
"""Number of times that a load is repeated while another load is in progress."""

LOAD_RETRY_PAUSE_S: Final = 1.0
"""Pause before a load is repeated."""

STATUS_TIMEOUT_S: Final = 5.0
"""Timeout after which `manta status` reports a part as down."""


def load(
    version: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Version of the registered model (default: the newest that passed the gate, without --no-promote and "
            "rolled back versions).",
            show_default=False,
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="MLflow alias of the version, in place of --version.", show_default=False),
    ] = None,
) -> None:
    """Load a registered model version on all replicas and make it the champion.

    Example: manta load --version 3
    """
    selection = {key: value for key, value in (("version", version), ("alias", alias)) if value is not None}
    response = _load_with_retries(Endpoints.resolve(settings()), selection)
    model = response["model_info"]
    replicas = len(response["replicas"])
    print(f"{model['name']} version {model['version']} serves on {replicas} replica(s).")  # noqa: T201 - the command's output


def _load_with_retries(endpoints: Endpoints, selection: dict[str, str]) -> JsonObject:
    """Send a load, and repeat it while another load is in progress.

    After a training, the service loads the new champion by itself, maybe at the same time.
    """
    for _ in range(LOAD_RETRIES):
        try:
            return call(endpoints, "POST", LOAD_PATH, body=selection)
        except LoadInProgressError:
            time.sleep(LOAD_RETRY_PAUSE_S)
    return call(endpoints, "POST", LOAD_PATH, body=selection)


def predict(
    file: Annotated[str, typer.Argument(metavar="FILE.csv|FILE.json|-", help="File with rows; - for standard input.")],
) -> None:
    """Predict the rows of a CSV or JSON file with the loaded model.

    The header of a CSV file names the model's columns, in any order.
    The output is CSV: the prediction and the class probabilities of each row.

    A JSON file holds a list of rows, or an object with the key `features`.
    The output is the JSON response of the service.

    Example: manta predict rows.csv > predictions.csv
    """
    endpoints = Endpoints.resolve(settings())
    text = _read_text(file)
    if text.lstrip()[:1] in {"{", "["}:
        response = call(endpoints, "POST", "/predict", body=_parse_json(text, file))
        print(json.dumps(response))  # noqa: T201 - the command's output
    else:
        _predict_csv(endpoints, text, file)


def status(
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show whether Ray, MLflow and the service are up, and which version is loaded.

    The exit code is 1 if a part is down.

    Example: manta status --json
    """
    endpoints = Endpoints.resolve(settings())
    parts = {
        "ray": _part_status(endpoints.ray_url, "/api/version", endpoints.ray_headers),
        "mlflow": _part_status(endpoints.mlflow_url, "/version", {}),
        "serve": _service_status(endpoints),
    }
    if as_json:
        print(json.dumps(parts))  # noqa: T201 - the command's output
    else:
        table = Table("part", "address", "state", "detail")
        for name, part in parts.items():
            table.add_row(name, part["url"], "up" if part["is_up"] else "down", part["detail"])
        console.print(table)
    if not all(part["is_up"] for part in parts.values()):
        raise typer.Exit(1)


def _part_status(url: str, path: str, headers: dict[str, str]) -> JsonObject:
    """Ask Ray or MLflow for its version."""
    try:
        response = httpx.get(url + path, headers=headers, timeout=STATUS_TIMEOUT_S)
        response.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return {"url": url, "is_up": False, "detail": str(error)}
    version = response.json()["ray_version"] if response.text.startswith("{") else response.text
    return {"url": url, "is_up": True, "detail": version}


def _service_status(endpoints: Endpoints) -> JsonObject:
    try:
        response = call(endpoints, "GET", "/model")
    except (ApiError, PlatformError) as error:
        return {"url": endpoints.api_url, "is_up": False, "detail": str(error)}
    detail = f"version {response['model_info']['version']}" if response["model_loaded"] else "no model loaded"
    return {"url": endpoints.api_url, "is_up": True, "detail": detail}


def _read_text(file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file} cannot be read: {error}.", next_step="Give a CSV or JSON file, or - for standard input."
        ) from error
    if not text.strip():
        raise DataError(f"{file} is empty.", next_step="Give a CSV file with a header and rows, or a JSON file.")
    return text


def _parse_json(text: str, file: str) -> JsonObject:
    """Parse a JSON file into the body of a prediction request."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON: {error}.", next_step="Correct the file.") from error
    return content if isinstance(content, dict) else {"features": content}


def _predict_csv(endpoints: Endpoints, text: str, file: str) -> None:
    """Predict a CSV file in batches and print one line per row: the prediction and the probability of each class."""
    model = call(endpoints, "GET", "/model")
    if not model["model_loaded"]:
        raise PlatformError("No model is loaded.", next_step="Load a model: `manta load`.")
    rows = _parse_csv(text, model["columns"], file)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["prediction", *(f"probability_{label}" for label in model["classes"])])
    for start in range(0, len(rows), BATCH_ROWS):
        response = call(endpoints, "POST", "/predict", body={"features": rows[start : start + BATCH_ROWS]})
        # A regressor, or a classifier without probabilities, answers `null` for the probabilities.
        no_probabilities: list[list[float]] = [[]] * len(response["predictions"])
        probabilities = response["probabilities"] or no_probabilities
        for prediction, row_probabilities in zip(response["predictions"], probabilities, strict=True):
            writer.writerow([prediction, *row_probabilities])


def _parse_csv(text: str, columns: list[str], file: str) -> list[list[float]]:
    """Parse the rows of a CSV file, with the model's columns in the model's order."""
    reader = csv.DictReader(text.splitlines())
    header = reader.fieldnames or []
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{file} lacks columns of the model: {', '.join(missing)}.",
            next_step="Its first line must name the columns that `GET /model` lists.",
        )
    unknown_columns = [name for name in header if name not in columns]
    if unknown_columns:
        warning = f"warning: columns that the model does not know are ignored: {', '.join(unknown_columns)}"
        print(warning, file=sys.stderr)  # noqa: T201 - a warning for the user
    rows = []
    for line, record in enumerate(reader, start=2):
        try:
            rows.append([float(record[name]) for name in columns])
        except (TypeError, ValueError) as error:
            raise DataError(
                f"Line {line} of {file} has a value that is not a number: {error}.", next_step="Correct the line."
            ) from error
    if not rows:
        raise DataError(f"{file} has no rows below its header.", next_step="Add rows.")
    return rows
