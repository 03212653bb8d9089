import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.stack import dev
from app.cli.stack.outputs import StackError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one file of code and short pauses between two checks of the file."""
    monkeypatch.setattr(dev, "POLL_MS", 20)
    monkeypatch.setattr(dev, "QUIET_MS", 100)
    (tmp_path / "app" / "__pycache__").mkdir(parents=True)
    (tmp_path / "app" / "serve.py").write_text("answer = 42\n")
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def next_save(saves: Iterator[list[Path]], project: Path, *files: str) -> list[Path]:
    """Replace the files by new ones until the change is noticed, as many editors and git do, and return the change."""
    is_noticed = threading.Event()

    def write() -> None:
        while not is_noticed.wait(0.5):
            for file in files:
                new = project / "new-content"
                new.write_text(str(time.monotonic_ns()))
                new.replace(project / file)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return next(saves)
    finally:
        is_noticed.set()
        writer.join()


def test_a_save_is_reported_with_its_files(project: Path) -> None:
    saves = dev.changed_files(project)

    assert next_save(saves, project, "app/new.py") == [Path("app/new.py")]


def test_a_file_that_is_replaced_twice_is_reported_twice(project: Path) -> None:
    saves = dev.changed_files(project)

    assert next_save(saves, project, "pyproject.toml") == [Path("pyproject.toml")]
    assert next_save(saves, project, "pyproject.toml") == [Path("pyproject.toml")]


def test_files_outside_of_the_image_are_not_reported(project: Path) -> None:
    saves = dev.changed_files(project)

    files = next_save(saves, project, "README.md", "app/__pycache__/serve.pyc", "app/serve.py")

    assert files == [Path("app/serve.py")]


@pytest.mark.parametrize(("command", "message"), [("true", "serving"), ("false", "still serves")])
def test_an_update_is_reported_with_its_duration_whether_it_succeeds_or_fails(command: str, message: str) -> None:
    lines: list[str] = []

    dev.roll_out([command], [Path("app/main.py")], saved_at=time.monotonic() - 7, report=lines.append)

    assert lines[0] == "changed: app/main.py"
    assert message in lines[1]
    assert "7 s after the save" in lines[1]


def test_a_folder_without_the_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StackError, match=r"folder with Pulumi\.yaml"):
        dev.dev()
