"""`manta local` with a champion of another release."""

import re
from pathlib import Path

from app.cli.ports import free_ports
from tests.support.local import LocalFolder

OTHER_RELEASE = "0.9.7"


def run_once(folder: LocalFolder, *argv: str) -> tuple[int, str]:
    """Run `manta local --once`, and return its exit code and its output."""
    ray, mlflow, serve = map(str, free_ports(3))
    ports = ("--ray-port", ray, "--mlflow-port", mlflow, "--serve-port", serve)
    process = folder.run("local", "--once", *ports, *argv)
    return process.returncode, process.stdout + process.stderr


def test_a_champion_of_another_release_is_refused_and_replaced_by_train(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path)
    first_code, first_output = run_once(folder)
    [description] = (tmp_path / ".manta" / "artifacts").rglob("MLmodel")
    text, changes = re.subn(r"(sklearn_version: ).*", rf"\g<1>{OTHER_RELEASE}", description.read_text())
    description.write_text(text)

    refused_code, refused_output = run_once(folder)
    trained_code, trained_output = run_once(folder, "--train")

    assert (first_code, changes) == (0, 1), first_output
    assert refused_code == 1
    assert f"version 1 was fitted with scikit-learn {OTHER_RELEASE}, but scikit-learn" in refused_output
    assert "manta local --train" in refused_output
    assert trained_code == 0, trained_output
    assert "version 2 answers" in trained_output
