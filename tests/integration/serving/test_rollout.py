"""Rollouts and shadows on the running platform, under traffic."""

from collections.abc import Iterator

import httpx
import pytest

from app import names
from tests.support import rollout_models
from tests.support.live_rollouts import COURSES, RATE, RolloutPlatform
from tests.support.local import LocalFolder
from tests.support.rollout_models import NAMED, Challengers
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def challengers(rollouts: RolloutPlatform, local: LocalFolder) -> Iterator[Challengers]:
    """Versions of the platform's model. The platform serves its own version again afterwards."""
    registry, champion = rollouts.registry, rollouts.aliases()[names.CHAMPION]
    before = {str(version.version) for version in registry.search_model_versions(f"name='{names.MODEL_NAME}'")}
    yield rollout_models.register_in_subprocess(local.endpoints.mlflow_url)
    rollouts.run("load", "--version", champion)
    registry.delete_registered_model_alias(names.MODEL_NAME, names.PREVIOUS)
    for version in registry.search_model_versions(f"name='{names.MODEL_NAME}'"):
        if str(version.version) not in before:
            registry.delete_model_version(names.MODEL_NAME, str(version.version))
    registry.delete_registered_model(NAMED)


def test_a_shadow_answers_copies_and_its_figures_are_in_its_run(
    rollouts: RolloutPlatform, challengers: Challengers
) -> None:
    version, champion, registry = challengers.good, rollouts.aliases()[names.CHAMPION], rollouts.registry

    with rollouts.traffic() as traffic:
        rollouts.run("shadow", version)
        wait_until(lambda: shadow_rows(rollouts.api) >= RATE, what="copies", timeout_s=300)
        shown = rollouts.run("shadow")
        rollouts.run("shadow", "--end")

    assert traffic.failures == {}
    assert f"version {version} answers copies of 100 % of the requests" in shown
    assert rollouts.aliases() == {names.CHAMPION: champion}
    run_id = str(registry.get_model_version(names.MODEL_NAME, version).run_id)
    assert registry.get_run(run_id).data.metrics["shadow.rows"] >= RATE
    (folder,) = registry.list_artifacts(run_id, "shadow")
    assert f"against-{champion}-" in folder.path
    files = {artifact.path.rpartition("/")[2] for artifact in registry.list_artifacts(run_id, folder.path)}
    assert "comparison.json" in files


def shadow_rows(api: httpx.Client) -> int:
    figures = api.get("/model/shadow").json()["figures"]
    return 0 if figures is None else int(figures["rows"])


def test_a_model_by_its_name_is_rolled_out_and_no_client_notices(
    rollouts: RolloutPlatform, challengers: Challengers
) -> None:
    first, second = challengers.named
    path = f"models/{NAMED}"
    rollouts.run("serve", NAMED, "--version", first)

    with rollouts.traffic(f"{path}/predict") as traffic:
        rollouts.start(second, "--name", NAMED, "--steps", "50", "--min-rows", "20", "--min-seconds", "1")
        wait_until(lambda: rollouts.rollout(path)["is_closed"], what="the end", timeout_s=300)

    rollouts.run("serve", NAMED, "--stop")
    assert traffic.failures == {}
    assert rollouts.aliases(NAMED) == {names.CHAMPION: second, names.PREVIOUS: first}


@pytest.mark.parametrize("kind", COURSES)
def test_a_rollout_ends_as_its_version_deserves_and_no_client_notices(
    rollouts: RolloutPlatform, challengers: Challengers, kind: str
) -> None:
    rollouts.roll_out(kind, challengers)
