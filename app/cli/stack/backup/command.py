"""`manta backup` and `manta restore`."""

import subprocess
import tarfile
from pathlib import Path
from typing import IO, Annotated, Final

import typer

from app.cli.shared_options import StackOption
from app.cli.stack.backup import programs
from app.cli.stack.outputs import StackOutputs, read_configuration, read_outputs
from app.errors import MantaError

DATA_DIR: Final = "/mlflow/data"
"""Folder of the volume in MLflow's pod."""
MLFLOW: Final = "deployment/mlflow"
RESTART_TIMEOUT: Final = "10m"
DATABASE: Final = "mlflow.db"


class BackupError(MantaError):
    """A backup or a restore failed. Neither changed anything."""

    title = "Backup failed"


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, such as manta.tar.gz.")],
    stack: StackOption = "",
) -> None:
    """Copy MLflow's databases and artifacts from the volume of a stack into an archive.

    The service and MLflow keep running.
    A database in Postgres and artifacts in an object store have backups of their own.

    Example: manta backup manta-$(date +%F).tar.gz --stack prod
    """
    _check_backend(stack)
    if file.exists():
        raise BackupError(f"{file} exists already.", next_step="Choose another name, or delete the file.")
    outputs = read_outputs(stack)
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as archive:
            _run_in_pod(outputs, programs.BACKUP, stdout=archive)
        members = _check_archive(part)
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    typer.echo(f"{file} holds {members} files of the stack {outputs.stack or stack}: {file.stat().st_size} bytes")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="An archive of backup.")],
    stack: StackOption = "",
    is_confirmed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Replace MLflow's databases and artifacts on the volume of a stack by those of an archive.

    Runs, models and aliases that are newer than the archive are lost.
    MLflow restarts; the service answers meanwhile, and then follows the champion of the archive.

    Example: manta restore manta-2026-01-31.tar.gz --stack prod
    """
    _check_backend(stack)
    _check_archive(file)
    outputs = read_outputs(stack)
    name = outputs.stack or stack
    if not is_confirmed:
        typer.confirm(f"Replace all runs and models of the stack {name} by those of {file}?", abort=True)
    with file.open("rb") as archive:
        _run_in_pod(outputs, programs.RESTORE, stdin=archive)
    for arguments in (("restart", MLFLOW), ("status", MLFLOW, f"--timeout={RESTART_TIMEOUT}")):
        _run(_kubectl(outputs, "rollout", *arguments))
    typer.echo(f"The stack {name} has the runs and models of {file}.")


def _check_backend(stack: str) -> None:
    """Refuse a stack that keeps its data elsewhere.

    Raises:
        BackupError: The database is Postgres.
    """
    configuration = read_configuration(stack)
    if configuration.get("mlflowBackend") == "postgres":
        raise BackupError(
            f"MLflow's database is Postgres at {configuration.get('postgresHost', '')}, not a file on a volume.",
            next_step="Use the backups of the database: docs/how-to/back-up-and-restore.md.",
        )


def _check_archive(file: Path) -> int:
    """Read a whole archive, and count its files.

    Raises:
        BackupError: The archive is damaged, or holds no database.
    """
    try:
        with tarfile.open(file) as archive:
            names = [member.name for member in archive if member.isfile()]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BackupError(
            f"{file} is no complete archive: {error}.", next_step="Use an archive that `manta backup` wrote."
        ) from error
    if DATABASE not in names:
        raise BackupError(f"{file} holds no {DATABASE}.", next_step="Use an archive that `manta backup` wrote.")
    return len(names)


def _run_in_pod(
    outputs: StackOutputs, program: str, *, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None
) -> None:
    command = _kubectl(outputs, "exec", "--stdin", MLFLOW, "--container", "mlflow")
    _run([*command, "--", "python", "-c", program, DATA_DIR], stdin=stdin, stdout=stdout)


def _kubectl(outputs: StackOutputs, *arguments: str) -> list[str]:
    return ["kubectl", "--context", outputs.context, "--namespace", outputs.namespace, *arguments]


def _run(command: list[str], *, stdin: IO[bytes] | None = None, stdout: IO[bytes] | None = None) -> None:
    """Run `kubectl`. The time is not limited, because an archive may be large.

    Raises:
        BackupError: `kubectl` is not installed, or failed.
    """
    try:
        subprocess.run(
            command,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
    except FileNotFoundError as error:
        raise BackupError(
            "kubectl is not on PATH.", next_step="Install it: https://kubernetes.io/docs/tasks/tools/."
        ) from error
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise BackupError(
            f"{command[5]} in the cluster failed: {message[-1]}.", next_step="See: kubectl describe deployment/mlflow"
        ) from error
