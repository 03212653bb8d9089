from pathlib import Path

from typer.testing import CliRunner

from app.cli.main import cli
from app.cli.project.command import FILES
from app.errors import ParameterError


def test_a_new_project_has_each_file_of_the_template(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "project"

    result = CliRunner().invoke(cli, ["init", str(folder)])

    assert result.exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_existing_files_are_not_changed(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text("mine")

    result = CliRunner().invoke(cli, ["init", str(tmp_path)])

    assert isinstance(result.exception, ParameterError)
    assert "already contains data.py" in result.exception.detail
    assert [path.name for path in tmp_path.iterdir()] == ["data.py"]
    assert (tmp_path / "data.py").read_text() == "mine"


def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = CliRunner().invoke(cli, ["init", str(tmp_path / "file")])

    assert isinstance(result.exception, ParameterError)
    assert "cannot be written" in result.exception.detail
