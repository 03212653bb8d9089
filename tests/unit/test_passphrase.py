"""Where `make up`, `make down` and `make clean` keep the passphrase of the stacks."""

from pathlib import Path

import pytest

from tests.support.clone import CLOUD_STACK, LOCAL_STACK, Clone, exported_passphrase_file


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_up_creates_one_passphrase_that_only_its_user_can_read(clone: Clone) -> None:
    clone.run("up")
    created = clone.passphrase.read_text()

    second = clone.run("up", STACK="mine")

    assert len(created) > 30
    assert clone.passphrase.read_text() == created
    assert exported_passphrase_file(second.stdout) == str(clone.passphrase)
    assert clone.passphrase.stat().st_mode & 0o777 == 0o600
    assert clone.passphrase.parent.stat().st_mode & 0o777 == 0o700


def test_the_passphrase_follows_xdg_config_home(clone: Clone, tmp_path: Path) -> None:
    clone.run("up", XDG_CONFIG_HOME=str(tmp_path / "settings"))

    assert (tmp_path / "settings" / "manta" / "passphrase").exists()


@pytest.mark.parametrize("variable", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_up_creates_no_passphrase_where_the_environment_names_one(clone: Clone, variable: str) -> None:
    result = clone.run("up", **{variable: "/some/where"})

    assert result.returncode == 0, result.stderr
    assert not clone.passphrase.exists()
    assert exported_passphrase_file(result.stdout) == ""


def test_an_empty_passphrase_in_the_environment_is_a_passphrase(clone: Clone) -> None:
    result = clone.run("up", PULUMI_CONFIG_PASSPHRASE="")

    assert not clone.passphrase.exists()
    assert "  export PULUMI_CONFIG_PASSPHRASE=\n" in result.stdout


@pytest.mark.parametrize("salted", [True, False], ids=["the stack's file has a salt", "the backend has the stack"])
def test_up_refuses_a_second_passphrase_for_an_existing_stack(clone: Clone, *, salted: bool) -> None:
    if salted:
        clone.settings("dev").write_text("encryptionsalt: v1:abc\nconfig:\n  manta:context: minikube\n")
    else:
        clone.tool("pulumi", LOCAL_STACK)

    result = clone.run("up")

    assert result.returncode == 1
    assert not clone.passphrase.exists()
    assert "The stack dev exists" in result.stderr
    assert str(clone.passphrase) in result.stderr
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in result.stderr
    assert "pulumi up --yes --stack dev" not in clone.calls


def test_up_accepts_an_existing_stack_that_uses_no_passphrase(clone: Clone) -> None:
    clone.tool("pulumi", CLOUD_STACK)

    assert clone.run("up").returncode == 0


def test_up_creates_no_passphrase_while_the_backend_does_not_answer(clone: Clone) -> None:
    clone.tool("pulumi", "*'stack export'*) echo 'error: connection refused' >&2; exit 255 ;;")

    result = clone.run("up")

    assert result.returncode == 1
    assert "connection refused" in result.stderr
    assert not clone.passphrase.exists()


@pytest.mark.parametrize("script", ["up", "down", "clean"])
def test_the_passphrase_of_an_earlier_version_is_moved_out_of_the_clone(clone: Clone, script: str) -> None:
    clone.write_earlier_passphrase("earlier")
    clone.tool("pulumi", LOCAL_STACK)

    result = clone.run(script)

    assert result.returncode == 0, result.stderr
    assert clone.passphrase.read_text() == "earlier"
    assert clone.passphrase.stat().st_mode & 0o777 == 0o600
    assert not clone.earlier_passphrase.exists()


def test_a_clone_keeps_an_earlier_passphrase_that_differs_from_the_shared_one(clone: Clone) -> None:
    clone.run("up")
    shared = clone.passphrase.read_text()
    clone.write_earlier_passphrase("of this clone")

    results = [clone.run("up"), clone.run("clean"), clone.run("down")]

    assert clone.earlier_passphrase.read_text() == "of this clone"
    assert clone.passphrase.read_text() == shared
    assert exported_passphrase_file(results[0].stdout) == str(clone.earlier_passphrase)
    assert exported_passphrase_file(results[2].stdout) == str(clone.earlier_passphrase)


def test_up_prints_no_passphrase(clone: Clone) -> None:
    result = clone.run("up", PULUMI_CONFIG_PASSPHRASE="a secret of mine")  # noqa: S106 - a passphrase of this test

    assert "a secret of mine" not in result.stdout + result.stderr
    assert "Set PULUMI_CONFIG_PASSPHRASE to the value that it has in this terminal" in result.stdout


def test_down_uses_the_passphrase_of_up(clone: Clone) -> None:
    clone.run("up")

    result = clone.run("down")

    assert exported_passphrase_file(result.stdout) == str(clone.passphrase)


def test_clean_keeps_the_passphrase_and_says_what_else_stays(clone: Clone) -> None:
    clone.tool("minikube", "status) exit 1 ;;")
    clone.run("up")
    passphrase = clone.passphrase.read_text()

    result = clone.run("clean")

    assert result.returncode == 0, result.stderr
    assert not (clone.project / ".venv").exists()
    assert not (clone.project / ".manta").exists()
    assert clone.passphrase.read_text() == passphrase
    for hint in (str(clone.passphrase), "make down", "minikube stop"):
        assert hint in result.stdout
