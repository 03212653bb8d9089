"""The image: a tag for its content, a builder for its making."""

from pathlib import Path

import pytest

from infra import images
from infra.components.image import ImageError, build_command, content_tag
from tests.support.program import SOURCES, Program, parsed

COMMAND = "command:local:Command"
REGISTRY = "registry.example.com/ml"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for path, text in SOURCES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize("path", [*SOURCES, "app/new.py"])
def test_a_change_of_anything_in_the_image_gives_a_new_tag(sources: Path, path: str) -> None:
    before = content_tag(sources)
    (sources / path).write_text("changed")

    assert content_tag(sources) != before


@pytest.mark.parametrize("path", ["README.md", "infra/x.py", "app/__pycache__/serve.cpython-311.pyc"])
def test_a_change_of_anything_else_keeps_the_tag(sources: Path, path: str) -> None:
    before = content_tag(sources)
    (sources / path).parent.mkdir(parents=True, exist_ok=True)
    (sources / path).write_text("changed")

    assert content_tag(sources) == before


def test_a_renamed_file_gives_a_new_tag(sources: Path) -> None:
    before = content_tag(sources)
    (sources / "app/serve.py").rename(sources / "app/served.py")

    assert content_tag(sources) != before


def test_a_missing_source_is_named_with_the_way_out(sources: Path) -> None:
    (sources / "images/ray/Dockerfile").unlink()

    with pytest.raises(ImageError, match=r"Dockerfile is missing.*imageBuilder prebuilt"):
        content_tag(sources)


@pytest.mark.parametrize(
    ("stack", "changes", "command"),
    [
        ("dev", {}, "minikube image build --profile minikube -t manta-ray:{tag} -f images/ray/Dockerfile ."),
        (
            "prod",
            {},
            f"docker buildx build --push -t {REGISTRY}/manta-ray:{{tag}} -f images/ray/Dockerfile .",
        ),
        (
            "dev",
            {"imageBuilder": "command", "buildCommand": "buildah build -t {image} -f {dockerfile} {context}"},
            "buildah build -t manta-ray:{tag} -f images/ray/Dockerfile .",
        ),
    ],
)
def test_a_builder_runs_when_the_content_changed(
    program: Program, stack: str, changes: dict[str, object], command: str
) -> None:
    tag = content_tag(program.root)

    build = program.deploy(stack, **changes).one(COMMAND).inputs

    assert build["create"] == command.replace("{tag}", tag)
    assert build["triggers"] == [tag]
    assert not build["dir"].startswith("/")


def test_a_prebuilt_image_is_built_by_nobody_and_used_as_it_stands(program: Program) -> None:
    record = program.deploy(imageBuilder="prebuilt", image="registry.example.com/ray:1")

    assert record.of_type(COMMAND) == []
    assert record.outputs["image"] == "registry.example.com/ray:1"


def test_parts_of_a_command_are_quoted_for_the_shell() -> None:
    assert build_command("b {image}", image="a;b", profile="p") == "b 'a;b'"


def test_a_mirror_takes_the_place_of_every_public_registry() -> None:
    wanted = parsed(imageRegistry="mirror.example.com/hub").images

    for reference in (images.operator, images.redis, images.mlflow, images.busybox):
        assert reference(wanted).startswith("mirror.example.com/hub/")
    assert images.operator(wanted) == "mirror.example.com/hub/kuberay/operator:v1.7.0"


@pytest.mark.parametrize("key", ["operatorImage", "redisImage", "mlflowImage", "busyboxImage"])
def test_every_image_can_be_replaced_as_a_whole(program: Program, key: str) -> None:
    record = program.deploy(**{key: "local/replaced:9", "imageRegistry": "mirror.example.com"})

    text = str([one.inputs for one in record.resources.values()])
    assert "local/replaced:9" in text or "'repository': 'local/replaced'" in text
    assert "docker.io" not in text
    assert "quay.io" not in text


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("quay.io/a/b:v1", ("quay.io/a/b", "v1")),
        ("localhost:5000/a/b", ("localhost:5000/a/b", "latest")),
        ("a/b@sha256:0f", ("a/b@sha256", "0f")),
    ],
)
def test_a_reference_is_divided_as_helm_charts_join_it(reference: str, parts: tuple[str, str]) -> None:
    assert images.split(reference) == parts


def test_a_pull_secret_reaches_every_pod(program: Program) -> None:
    record = program.deploy(imagePullSecret="registry-login")

    text = str([one.inputs for one in record.resources.values()])
    assert text.count("'imagePullSecrets': [{'name': 'registry-login'}]") == 5
