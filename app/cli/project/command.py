"""`manta init`: write a project that trains and serves as it is."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from app.errors import ParameterError

FILES: Final = ("model.py", "data.py", "test_model.py", "README.md")
"""Files of a new project; `template` contains them."""

NEXT_STEPS: Final = """\
Train, load and predict on this machine:
  manta local --name progression   # in a terminal of its own, in this folder
  manta train --model model.py:build --data data.py:load --target progression
  manta load
README.md describes the next steps."""


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; it is created if it does not exist.")] = Path(),
) -> None:
    """Write a project with a model, its data and a test.

    The files run as they are. Existing files are never changed.

    Example: manta init houses
    """
    create_project(folder)
    typer.echo(f"Wrote {', '.join(FILES)} to {folder.resolve()}.")
    if folder.resolve() != Path.cwd():
        typer.echo(f"  cd {folder}")
    typer.echo(NEXT_STEPS)


def create_project(folder: Path) -> None:
    """Write the files of a new project.

    Args:
        folder: Folder of the project. It is created if it does not exist.

    Raises:
        ParameterError: The folder contains one of the files, or cannot be written. No file is changed.
    """
    existing_files = [name for name in FILES if (folder / name).exists()]
    if existing_files:
        raise ParameterError(
            f"{folder} already contains {', '.join(existing_files)}.",
            allowed=f"a folder without {', '.join(FILES)}",
            next_step="Name another folder: manta init FOLDER",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).write_bytes(files("app.cli.project").joinpath("template", name).read_bytes())
    except OSError as error:
        raise ParameterError(
            f"The project cannot be written to {folder}: {error.strerror}.",
            allowed="a folder that you can write to",
            next_step="Name another folder: manta init FOLDER",
        ) from error
