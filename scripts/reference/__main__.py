"""`make docs`: writes every page of docs/reference."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from scripts.reference import command_line, configuration, http_api, log_events

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration.page,
    "command-line.md": command_line.page,
    "http-api.md": http_api.page,
    "log-events.md": log_events.page,
}
"""Function that returns the text of each page, by file name."""


def main() -> None:
    """Write the pages, and print the path of each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
        print(FOLDER.name + "/" + name)  # noqa: T201 - the result of the command


if __name__ == "__main__":
    main()
