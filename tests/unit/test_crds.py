"""Where the tests find KubeRay's CRDs."""

import tarfile
from pathlib import Path

import pytest

from infra import versions
from tests.support import crds

NOWHERE = Path("/nowhere")
NAME = "ray.io_rayservices.yaml"


def write_crds(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / NAME).write_text("kind: CustomResourceDefinition\n")
    (folder / "README.md").write_text("no CRD\n")
    return folder


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    """A folder with the unpacked chart."""
    write_crds(tmp_path / "charts" / "kuberay-operator" / "crds")
    return tmp_path / "charts"


@pytest.fixture
def archives(charts: Path, tmp_path: Path) -> Path:
    """A folder with the archive that `helm pull` writes."""
    folder = tmp_path / "archives"
    folder.mkdir()
    with tarfile.open(folder / f"kuberay-operator-{versions.KUBERAY_CHART_VERSION}.tgz", "w:gz") as archive:
        archive.add(charts / "kuberay-operator", "kuberay-operator")
    return folder


def read(**variables: str) -> list[str]:
    return list(crds.read({"MANTA_E2E_TOOLS": str(NOWHERE), **variables}, beside=NOWHERE))


def test_crds_come_from_a_folder_of_crds(tmp_path: Path) -> None:
    assert read(KUBERAY_CRDS=str(write_crds(tmp_path / "crds"))) == [NAME]


def test_crds_come_from_an_unpacked_chart(charts: Path) -> None:
    assert read(MANTA_E2E_CHARTS=str(charts)) == [NAME]


def test_crds_come_from_the_archive_of_a_chart(archives: Path) -> None:
    assert read(MANTA_E2E_CHARTS=str(archives)) == [NAME]


def test_crds_come_from_the_charts_of_the_tools(charts: Path) -> None:
    assert read(MANTA_E2E_TOOLS=str(charts.parent)) == [NAME]


def test_crds_come_from_the_folder_beside_the_project(tmp_path: Path) -> None:
    folder = write_crds(tmp_path / "shared" / "crds")

    assert list(crds.read({"MANTA_E2E_TOOLS": str(NOWHERE)}, beside=folder)) == [NAME]


def test_a_machine_without_crds_has_none() -> None:
    assert read() == []


def test_the_reason_of_a_skip_names_the_variables() -> None:
    reason = crds.needed.kwargs["reason"]

    assert "MANTA_E2E_CHARTS" in reason
    assert "KUBERAY_CRDS" in reason
