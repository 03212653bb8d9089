"""Names, versions and dependencies on which several files must agree."""

import re
import tomllib

import pytest

from app import names as app_names
from app.cli.local import haproxy_errors as app_haproxy_errors
from infra import names, versions
from infra.components.ray import haproxy_errors
from tests.support.program import PROJECT

SHARED = (
    *("IMPORT_PATH", "APPLICATION", "DEPLOYMENT", "ROUTE_PREFIX", "MODEL_NAME"),
    *("UPGRADE_BARRIER", "UPGRADE_BARRIER_IMPORT_PATH", "REPLICA_RESOURCE", "MIDDLEWARE_IMPORT_PATH"),
)
MODULES = sorted((PROJECT / "infra").rglob("*.py"))


@pytest.mark.parametrize("name", SHARED)
def test_infra_and_app_use_the_same_name(name: str) -> None:
    assert getattr(names, name) == getattr(app_names, name)


def test_haproxy_answers_errors_in_a_stack_as_on_one_machine() -> None:
    assert haproxy_errors.VARIABLE == app_haproxy_errors.VARIABLE
    assert haproxy_errors.balance_setting() == app_haproxy_errors.balance_setting()


def test_the_image_contains_the_ray_version_of_the_ray_cluster() -> None:
    locked = (PROJECT / "requirements/app.txt").read_text()

    assert re.search(rf"^ray(\[[a-z,]+\])?=={re.escape(versions.RAY)} ", locked, re.MULTILINE)


def test_pins_are_exact() -> None:
    images = [value for value in vars(versions).values() if isinstance(value, versions.ImagePin)]
    charts = [versions.KUBERAY_CHART_VERSION, versions.MLFLOW_CHART_VERSION]

    assert len(images) == 5
    for pin in (*(image.tag for image in images), *charts):
        assert re.fullmatch(r"v?\d+\.\d+\.\d+(-slim-bookworm)?", pin), pin


def test_the_dependency_group_declares_the_imports_of_infra() -> None:
    group = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]["infra"]

    declared = {re.split(r"[^a-z-]", requirement)[0] for requirement in group}
    assert declared == {
        *("pulumi", "pulumi-kubernetes", "pulumi-random", "pulumi-command", "pydantic", "pyyaml"),
    }


def test_only_the_settings_module_reads_the_configuration_and_the_environment() -> None:
    reads = re.compile(r"pulumi\.Config\b|runtime\.config|os\.environ|getenv")

    readers = [str(path.relative_to(PROJECT)) for path in MODULES if reads.search(path.read_text())]

    assert set(readers) == {
        "infra/config/settings.py",
        "infra/components/mlflow/users_program.py",  # runs in MLflow's pods
        "infra/components/mlflow/oidc_users_program.py",  # runs in MLflow's pods
    }


def test_no_module_shadows_a_module_of_the_standard_library() -> None:
    import sys  # noqa: PLC0415 - for this test only

    assert not {module.stem for module in MODULES} & set(sys.stdlib_module_names)
