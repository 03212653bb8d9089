"""The choice of a version, the marks of versions, and the errors of a run, in MLflow with SQLite."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from requests import ConnectionError as ConnectionFailedError

from app.errors import ModelNotFoundError, PlatformError, RegistryUnavailableError
from app.models.registry import PAGE_SIZE, Registry
from app.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's own code

KEPT_BACK = {"gate": "passed", "manta.promote": "false"}
TO_PROMOTE = {"gate": "passed", "manta.promote": "true"}


class Model:
    """A registered model, and how versions of it are registered.

    Args:
        store: URI of MLflow.
        name: Name of the registered model.
    """

    def __init__(self, store: str, name: str) -> None:
        self.registry = Registry(Settings(mlflow_tracking_uri=store))
        self.client = MlflowClient(tracking_uri=store, registry_uri=store)
        self.name = name
        self.client.create_registered_model(name)

    def add(self, tags: dict[str, str]) -> str:
        """Register a version without files, and return its number."""
        return str(self.client.create_model_version(self.name, source="file:///none", tags=tags).version)

    def train(self, tags: dict[str, str] = TO_PROMOTE) -> str:
        """Register a version, and promote it as training does."""
        version = self.registry.find(self.name, version=self.add(tags))
        self.registry.promote(version)
        self.registry.record_promotion(version)
        return str(version.version)

    def load(self, version: str | None = None) -> str:
        """Load a version as the service does, and return its number."""
        chosen = self.registry.find(self.name, version=version)
        self.registry.promote(chosen)
        return str(chosen.version)

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(self.name, version).tags)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def model(store: str, request: pytest.FixtureRequest) -> Model:
    return Model(store, request.node.name)


@pytest.fixture
def registry(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.chdir(tmp_path)  # MLflow puts artifacts into the working directory
    yield Registry(Settings(mlflow_tracking_uri=store))
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type] # None means the default, which MLflow does not declare


def test_a_version_that_was_not_promoted_yet_is_loaded(model: Model) -> None:
    model.train()
    newer = model.add(TO_PROMOTE)

    assert model.load() == newer


def test_a_version_trained_with_no_promote_is_loaded_only_by_its_number(model: Model) -> None:
    champion = model.train()
    kept_back = model.add(KEPT_BACK)

    assert model.load() == champion
    assert model.load(kept_back) == kept_back


def test_without_a_champion_a_version_trained_with_no_promote_is_not_loaded(model: Model) -> None:
    model.add(KEPT_BACK)

    with pytest.raises(ModelNotFoundError, match="no version qualifies") as error:
        model.load()

    assert "--no-promote" in error.value.allowed
    assert "name a version" in error.value.next_step


@pytest.mark.parametrize("verdict", ["failed", "forced"])
def test_a_version_that_did_not_pass_its_gate_is_not_loaded(model: Model, verdict: str) -> None:
    champion = model.train()
    model.add(TO_PROMOTE | {"gate": verdict})

    assert model.load() == champion


def test_a_forced_champion_is_loaded_again_although_an_older_version_passed(model: Model) -> None:
    model.add(TO_PROMOTE)
    forced = model.train(TO_PROMOTE | {"gate": "forced"})

    assert model.load() == forced


def test_a_version_that_was_rolled_back_is_not_loaded_until_it_is_named(model: Model) -> None:
    good, bad = model.train(), model.train()

    model.load(good)
    chosen = model.load()
    tags_after_rollback = model.tags(bad)
    model.load(bad)

    assert chosen == good
    assert tags_after_rollback["manta.rolled_back"] == "true"
    assert "manta.rolled_back" not in model.tags(bad)
    assert model.load() == bad


def test_a_rollback_that_fails_leaves_no_mark(model: Model) -> None:
    older, champion = model.train(), model.train()

    version = model.registry.find(model.name, version=older)
    model.registry.promote(version)
    model.registry.restore_champion(version, champion)
    model.client.set_registered_model_alias(model.name, "champion", older)  # a rollback that ended before its mark
    model.registry.restore_champion(version, champion)

    assert "manta.rolled_back" not in model.tags(champion)
    assert model.load() == champion


def test_without_a_champion_a_version_that_was_rolled_back_is_not_loaded(model: Model) -> None:
    good, _bad = model.train(), model.train()
    model.load(good)

    model.client.delete_registered_model_alias(model.name, "champion")

    assert model.load() == good


def test_a_version_from_which_the_alias_was_moved_by_hand_is_not_loaded(model: Model) -> None:
    good, _bad = model.train(), model.train()

    model.client.set_registered_model_alias(model.name, "champion", good)

    assert model.load() == good


def test_a_version_of_an_earlier_release_that_is_newer_than_the_champion_is_not_loaded(model: Model) -> None:
    champion = model.train()
    model.add({"gate": "passed", "gate.verdict": "passed"})

    assert model.load() == champion


def test_without_a_champion_a_version_of_an_earlier_release_is_loaded(model: Model) -> None:
    earlier = model.add({"gate": "passed", "gate.verdict": "passed"})

    assert model.load() == earlier


def test_a_version_that_a_person_tagged_as_passed_is_loaded(model: Model) -> None:
    model.train()
    by_hand = model.add({"gate": "passed"})

    assert model.load() == by_hand


def test_a_version_is_found_behind_many_versions_that_do_not_qualify(model: Model) -> None:
    passed = model.add(TO_PROMOTE)
    for _ in range(PAGE_SIZE):
        model.add(KEPT_BACK)

    assert model.load() == passed


def test_an_unknown_model_is_an_error(model: Model) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no registered model 'nobody'"):
        model.registry.find("nobody")


@pytest.mark.parametrize(
    ("failure", "error_class", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), PlatformError, "The disk of .* is full: .*/tmp/x"),  # noqa: S108 - a path in a message
        (PermissionError(errno.EACCES, "Permission denied", "/data"), PlatformError, "file operation failed .*/data"),
        (ConnectionFailedError("refused"), RegistryUnavailableError, "MLflow at .* failed to answer: refused"),
        (ConnectionResetError(), RegistryUnavailableError, "MLflow at .* failed to answer: ConnectionResetError"),
    ],
    ids=["full disk", "other file", "artifact store", "connection"],
)
def test_a_failure_in_a_run_names_its_cause(
    registry: Registry, failure: OSError, error_class: type[Exception], message: str
) -> None:
    with pytest.raises(error_class) as error, registry.run("errors", tags={}) as run_id:
        raise failure

    assert type(error.value) is error_class
    assert re.search(message, str(error.value))
    assert registry.get_run(run_id).info.status == "FAILED"


def test_the_error_for_a_value_that_mlflow_refuses_in_a_run_has_its_reason(registry: Registry) -> None:
    with registry.run("errors", tags={}) as run_id:
        mlflow.log_param("trees", 1)

    with (
        pytest.raises(PlatformError, match=r"refused what the run logs: .*Changing param values is not allowed"),
        registry.run("errors", tags={}, run_id=run_id),
    ):
        mlflow.log_param("trees", 2)


def test_a_run_that_does_not_exist_cannot_be_continued(registry: Registry) -> None:
    with (
        pytest.raises(ModelNotFoundError, match="There is no run 'none' in the experiment 'errors'"),
        registry.run("errors", tags={}, run_id="none"),
    ):
        pass
