"""Prints how the answers of a version differ from those of others: for a shadow and for a replay of the log."""

import typer
from rich.table import Table

from app.cli.json_object import JsonObject
from app.cli.progress import console

SHOWN_ROWS = 5
"""Rows that a command prints. --json prints all."""


def print_figures(figures: JsonObject, *, champion: str, version: str) -> None:
    """Print figures as a table, and the confusion matrix as another one.

    Args:
        figures: A `ShadowFigures`.
        champion: Title of the column of the version or versions to compare with.
        version: Title of the column of the version.
    """
    console.print(_table(figures, champion, version))
    if figures["confusion"]:
        console.print(_confusion(figures, champion, version))


def print_rows(rows: list[JsonObject]) -> None:
    """Print the rows that differ most."""
    for row in rows[:SHOWN_ROWS]:
        typer.echo(f"differs by {row['difference']:.3g}: {row['champion']} → {row['shadow']} for {row['row']}")


def _table(figures: JsonObject, champion: str, version: str) -> Table:
    """Compare the versions."""
    table = Table("", champion, version)
    table.add_row("requests, rows", "", f"{figures['requests']}, {figures['rows']}")
    error = f" ({figures['last_error']})" if figures["last_error"] else ""
    table.add_row("errors", "", f"{figures['errors']}{error}")
    table.add_row("dropped", "", str(figures["dropped"]))
    if figures["agreement"] is not None:
        table.add_row("same class", "", f"{figures['agreement']:.2%}")
    if figures["difference"] is not None:
        values = ", ".join(f"{name} {value:.3g}" for name, value in figures["difference"].items())
        table.add_row("difference", "", values)
    for key in ("p50_ms", "p95_ms", "p99_ms"):
        sides = (figures["champion_latency"][key], figures["latency"][key])
        if any(value is not None for value in sides):
            table.add_row(key.replace("_", " in "), *("" if value is None else f"{value:g}" for value in sides))
    return table


def _confusion(figures: JsonObject, champion: str, version: str) -> Table:
    """Show how often each class of the champion is each class of the version."""
    table = Table(f"{champion} / {version}", *figures["labels"])
    for label, counts in zip(figures["labels"], figures["confusion"], strict=True):
        table.add_row(label, *(str(count) for count in counts))
    return table
