"""`manta load`, `manta predict` and `manta status`: what the application serves, asked over its HTTP API."""

import csv
import json
import sys
import time
from pathlib import Path
from typing import IO, Annotated, Any, Final

import httpx
import typer
from rich.table import Table

from app.cli.endpoints import Target
from app.cli.progress import console
from app.cli.service.client import ApiError, call
from app.errors import DataError, LoadInProgressError, PlatformError
from app.settings import settings

BATCH_ROWS: Final = 1000
"""Rows of a file that one request asks about."""

BUSY_TRIES: Final = 10
"""How often a load that meets another one is tried again."""

BUSY_PAUSE_S: Final = 1.0
"""Pause before it is tried again."""

STATUS_TIMEOUT_S: Final = 5.0
"""The longest silence of a part before `manta status` calls it down."""


def load(
    version: Annotated[str | None, typer.Option(help="Version number; the newest that passed by default.")] = None,
    alias: Annotated[str | None, typer.Option(help="Alias in MLflow, in place of a number.")] = None,
) -> None:
    """Serve a registered version and make it the champion.

    Example: manta load --version 3
    """
    wanted = {key: value for key, value in (("version", version), ("alias", alias)) if value is not None}
    answer = _load(Target.find(settings()), wanted)
    info = answer["model_info"]
    print(f"{info['name']} version {info['version']} serves on {len(answer['replicas'])} replica(s).")  # noqa: T201


def _load(target: Target, wanted: dict[str, str]) -> dict[str, Any]:
    """Ask for a load, and again while the service is busy with one: it follows what training has just promoted."""
    for _ in range(BUSY_TRIES):
        try:
            return call(target, "POST", "/model/load", message=wanted)
        except LoadInProgressError:
            time.sleep(BUSY_PAUSE_S)
    return call(target, "POST", "/model/load", message=wanted)


def predict(
    file: Annotated[str, typer.Argument(metavar="FILE.csv|FILE.json|-", help="Rows; - reads standard input.")],
) -> None:
    """Ask for predictions: CSV with named columns gives CSV, JSON gives JSON.

    JSON is a list of rows, or an object with `features`. Columns of a CSV may stand in any order.

    Example: manta predict rows.csv > answers.csv
    """
    target = Target.find(settings())
    text = _read(file)
    if text.lstrip()[:1] in {"{", "["}:
        answer = call(target, "POST", "/predict", message=_rows_of_json(text, file))
        print(json.dumps(answer))  # noqa: T201
    else:
        _predict_csv(target, text, file)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Show whether Ray, MLflow and the service answer, and what is served; exit code 1 if a part does not.

    Example: manta status --json
    """
    target = Target.find(settings())
    parts = {
        "ray": _part(target.ray_url, "/api/version", target.ray_headers),
        "mlflow": _part(target.mlflow_url, "/version", {}),
    }
    try:
        served = call(target, "GET", "/model")
        what = f"version {served['model_info']['version']}" if served["model_loaded"] else "no model loaded"
        parts["serve"] = {"url": target.api_url, "is_up": True, "detail": what}
    except (ApiError, PlatformError) as error:
        parts["serve"] = {"url": target.api_url, "is_up": False, "detail": str(error)}
    if as_json:
        print(json.dumps(parts))  # noqa: T201
    else:
        table = Table("part", "address", "state", "detail")
        for name, part in parts.items():
            table.add_row(name, part["url"], "up" if part["is_up"] else "down", part["detail"])
        console.print(table)
    if not all(part["is_up"] for part in parts.values()):
        raise typer.Exit(1)


def _part(url: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    try:
        answer = httpx.get(url + path, headers=headers, timeout=STATUS_TIMEOUT_S)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return {"url": url, "is_up": False, "detail": str(error)}
    version = answer.json()["ray_version"] if answer.text.startswith("{") else answer.text
    return {"url": url, "is_up": True, "detail": version}


def _read(file: str) -> str:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}.", next_step="Give a CSV or JSON file, or -.") from error
    if not text.strip():
        raise DataError(f"{file} is empty.", next_step="Give a header and rows, or JSON.")
    return text


def _rows_of_json(text: str, file: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON: {error}.", next_step="Mend it.") from error
    return content if isinstance(content, dict) else {"features": content}


def _predict_csv(target: Target, text: str, file: str) -> None:
    """Answer a CSV file in parts; each line holds the prediction and the probability of each class."""
    model = call(target, "GET", "/model")
    if not model["model_loaded"]:
        raise PlatformError("No model is loaded.", next_step="Load one: manta load.")
    rows = _rows_of_csv(text, model["columns"], file)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["prediction", *(f"probability_{label}" for label in model["classes"])])
    for start in range(0, len(rows), BATCH_ROWS):
        answer = call(target, "POST", "/predict", message={"features": rows[start : start + BATCH_ROWS]})
        # A regressor, or a classifier without probabilities, answers with none.
        none: list[list[float]] = [[]] * len(answer["predictions"])
        for label, probabilities in zip(answer["predictions"], answer["probabilities"] or none, strict=True):
            out.writerow([label, *probabilities])


def _rows_of_csv(text: str, columns: list[str], file: str) -> list[list[float]]:
    """The rows of a CSV file, with the model's columns in the model's order."""
    reader = csv.DictReader(text.splitlines())
    header = reader.fieldnames or []
    missing = [name for name in columns if name not in header]
    if missing:
        raise DataError(
            f"{file} lacks columns of the model: {', '.join(missing)}.",
            next_step="Its first line must name the columns that `GET /model` lists.",
        )
    ignored = [name for name in header if name not in columns]
    if ignored:
        _warn(f"ignored, since the model does not know them: {', '.join(ignored)}", sys.stderr)
    rows = []
    for line, record in enumerate(reader, start=2):
        try:
            rows.append([float(record[name]) for name in columns])
        except (TypeError, ValueError) as error:
            raise DataError(f"Line {line} of {file} has a value that is no number: {error}.") from error
    if not rows:
        raise DataError(f"{file} has no rows below its header.", next_step="Add rows.")
    return rows


def _warn(text: str, stream: IO[str]) -> None:
    print(f"warning: {text}", file=stream)
