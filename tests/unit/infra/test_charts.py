"""Charts: from a repository, an OCI registry, a folder or an archive."""

import tarfile
from pathlib import Path

import pulumi
import pytest
import yaml

from infra import charts
from infra.config.chart import Chart
from tests.support.program import CRDS, crd

OPTS = pulumi.InvokeOptions()


def chart(name: str) -> Chart:
    return Chart(chart=name, version="1.2.3", repository="https://charts.example.com", key="kuberayChart")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in CRDS:
        file = tmp_path / f"kuberay-operator/crds/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(crd(name)))
    (tmp_path / "kuberay-operator/templates").mkdir()
    (tmp_path / "kuberay-operator/templates/x.yaml").write_text("{{ not yaml }}")
    return tmp_path


def test_crds_come_from_a_folder(folder: Path) -> None:
    definitions = charts.crds(chart("./kuberay-operator"), root=folder, opts=OPTS)

    assert [crd.name for crd in definitions] == sorted(CRDS)


def test_crds_come_from_an_archive(folder: Path) -> None:
    with tarfile.open(folder / "chart.tgz", "w:gz") as archive:
        archive.add(folder / "kuberay-operator", arcname="kuberay-operator")

    definitions = charts.crds(chart(str(folder / "chart.tgz")), root=Path("/nowhere"), opts=OPTS)

    assert [crd.name for crd in definitions] == sorted(CRDS)


def test_crds_come_from_a_subchart_whose_name_is_crds(folder: Path) -> None:
    (folder / "stack/charts").mkdir(parents=True)
    (folder / "kuberay-operator").rename(folder / "stack/charts/crds")
    (folder / "stack/charts/crds/values.yaml").write_text(yaml.safe_dump(crd("not-a-crd")))
    with tarfile.open(folder / "stack.tgz", "w:gz") as archive:
        archive.add(folder / "stack", arcname="stack")

    for name in ("./stack", "./stack.tgz"):
        definitions = charts.crds(chart(name), root=folder, opts=OPTS)

        assert [crd.name for crd in definitions] == sorted(CRDS)


def test_a_crd_may_hold_the_text_of_an_equals_sign(folder: Path) -> None:
    text = yaml.safe_dump(crd("a.example.com")) + "  enum:\n  - =\n  - =~\n"
    (folder / "kuberay-operator/crds/a.yaml").write_text(text)

    definitions = charts.crds(chart("./kuberay-operator"), root=folder, opts=OPTS)

    assert definitions[0].spec["enum"] == ["=", "=~"]


@pytest.mark.parametrize("name", ["./charts/x", "../x", "/srv/charts/x.tgz", "~/charts/x"])
def test_a_chart_is_local_if_it_starts_like_a_path(name: str) -> None:
    assert chart(name).is_local


def test_a_chart_name_has_a_version_and_a_repository() -> None:
    assert chart("mlflow").release_source(Path()) == {
        "chart": "mlflow",
        "version": "1.2.3",
        "repository_opts": {"repo": "https://charts.example.com"},
    }


def test_an_oci_reference_has_a_version_and_no_repository() -> None:
    assert chart("oci://r.example.com/x").release_source(Path()) == {
        "chart": "oci://r.example.com/x",
        "version": "1.2.3",
    }


def test_an_absolute_path_does_not_change(tmp_path: Path) -> None:
    assert chart(str(tmp_path)).release_source(Path("/elsewhere")) == {"chart": str(tmp_path)}
