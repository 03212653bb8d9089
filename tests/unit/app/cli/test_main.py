import subprocess
import sys
from importlib.metadata import version

from typer.testing import CliRunner

from app.cli.main import cli


def test_the_version_option_prints_the_installed_version() -> None:
    command = CliRunner().invoke(cli, ["--version"])

    assert (command.exit_code, command.output) == (0, f"manta {version('manta')}\n")


def test_tab_completes_the_commands() -> None:
    variables = {"_MANTA_COMPLETE": "complete_bash", "COMP_WORDS": "manta ro", "COMP_CWORD": "1"}

    command = CliRunner().invoke(cli, [], prog_name="manta", env=variables)

    assert command.output.split() == ["rollback", "rollout"]


def test_a_command_starts_without_the_libraries_that_take_seconds_to_import() -> None:
    statement = "import sys, app.cli.main; print({'mlflow', 'pandas', 'ray', 'scipy', 'sklearn'} & set(sys.modules))"

    process = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True)

    assert process.stdout == "set()\n"
