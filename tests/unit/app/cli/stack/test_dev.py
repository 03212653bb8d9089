import threading
import time
from pathlib import Path

import pytest

from app.cli.stack import dev
from app.cli.stack.outputs import StackError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one file of code."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "serve.py").write_text("answer = 42\n")
    return tmp_path


def test_a_save_is_told_with_its_files(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "POLL_S", 0.01)
    monkeypatch.setattr(dev, "QUIET_S", 0.05)
    started = time.monotonic()
    saving = threading.Timer(0.1, (project / "app" / "new.py").write_text, ["new = 1\n"])
    saving.start()

    files, saved = next(dev.changes(project))

    assert files == [Path("app/new.py")]
    assert started < saved <= time.monotonic()


def test_what_is_no_part_of_the_image_is_not_watched(project: Path) -> None:
    before = dev.snapshot(project)
    (project / "README.md").write_text("words")
    (project / "app" / "__pycache__").mkdir()
    (project / "app" / "__pycache__" / "serve.cpython-311.pyc").write_text("")

    assert dev.snapshot(project) == before


@pytest.mark.parametrize(("command", "said"), [("true", "serving"), ("false", "serves on")])
def test_the_time_from_save_to_served_is_told_and_a_failure_ends_nothing(command: str, said: str) -> None:
    lines: list[str] = []

    dev.roll_out([command], ([Path("app/serving/application.py")], time.monotonic() - 7), lines.append)

    assert lines[0] == "changed: app/serving/application.py"
    assert said in lines[1]
    assert "7 s after the save" in lines[1]


def test_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StackError, match=r"folder with Pulumi\.yaml"):
        dev.dev()
