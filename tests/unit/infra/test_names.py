"""What both halves of the project, and several files, must agree on."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from app import names as app_names
from infra import names, versions
from tests.support.program import PROJECT

MAX_LINES = 300
SHARED = (
    *("IMPORT_PATH", "APPLICATION", "DEPLOYMENT", "ROUTE_PREFIX", "MODEL_NAME"),
    *("SWITCHOVER", "SWITCHOVER_IMPORT_PATH", "INGRESS_IMPORT_PATH"),
)
MODULES = sorted((PROJECT / "infra").rglob("*.py"))


@pytest.mark.parametrize("name", SHARED)
def test_infra_and_app_use_the_same_name(name: str) -> None:
    assert getattr(names, name) == getattr(app_names, name)


def test_the_image_holds_the_ray_that_the_operator_is_told_of() -> None:
    locked = (PROJECT / "requirements/app.txt").read_text()

    assert re.search(rf"^ray(\[[a-z,]+\])?=={re.escape(versions.RAY)} ", locked, re.MULTILINE)


def test_pins_are_exact() -> None:
    images = [value for value in vars(versions).values() if isinstance(value, versions.Image)]
    charts = [versions.KUBERAY_CHART_VERSION, versions.MLFLOW_CHART_VERSION]

    assert len(images) == 5
    for pin in (*(image.tag for image in images), *charts):
        assert re.fullmatch(r"v?\d+\.\d+\.\d+(-slim-bookworm)?", pin), pin


def test_what_infra_needs_is_declared() -> None:
    group = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]["infra"]

    declared = {re.split(r"[^a-z-]", requirement)[0] for requirement in group}
    assert declared == {
        *("pulumi", "pulumi-kubernetes", "pulumi-random", "pulumi-command", "pydantic", "pyyaml"),
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_infra_does_not_import_app_and_stays_readable(module: Path) -> None:
    text = module.read_text()

    imported = {
        name
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not {name for name in imported if name.split(".")[0] == "app"}
    assert len(text.splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_only_the_settings_read_configuration_and_environment(module: Path) -> None:
    reads = re.findall(r"pulumi\.Config\b|runtime\.config|os\.environ|getenv", module.read_text())

    assert not reads or module.name == "settings.py"


def test_no_module_hides_one_of_the_standard_library() -> None:
    import sys  # noqa: PLC0415

    assert not {module.stem for module in MODULES} & set(sys.stdlib_module_names)
