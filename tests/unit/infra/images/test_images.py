"""The images: their tags, their build commands, and the references of published images."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.images import content, references
from infra.images.content import MLFLOW, RAY, ImageContent, ImageError
from tests.support.engine import Record, RegisteredResource
from tests.support.program import SOURCES, Program, parsed

COMMAND = "command:local:Command"
BASE = "python:3.11-slim"
PROJECT = Path(__file__).parents[4]
OFFICIAL = "docker.io/library/python:3.11.13-slim-bookworm"
REGISTRY = "registry.example.com/ml"
FAKE_BUILDER = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
    *"image ls"*) cat {store} ;;
    *inspect*) grep -qF "$4" {store} ;;
    *build*) echo "$*" >> {store} ;;
esac
"""
"""Stand-in for minikube and docker: it lists and finds the images in its store, and adds each image that it builds."""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for path, text in SOURCES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def tag(root: Path, image: ImageContent = RAY, base: str = BASE) -> str:
    return content.tag(image, root, base=base)


@pytest.mark.parametrize("path", [*sorted(set(SOURCES) - set(MLFLOW.inputs)), "app/new.py"])
def test_a_changed_file_of_the_image_changes_the_tag(sources: Path, path: str) -> None:
    before = tag(sources)
    (sources / path).write_text("changed")

    assert tag(sources) != before


@pytest.mark.parametrize("path", ["README.md", "infra/x.py", "app/__pycache__/serve.cpython-311.pyc", *MLFLOW.inputs])
def test_a_changed_file_outside_of_the_image_keeps_the_tag(sources: Path, path: str) -> None:
    before = tag(sources)
    (sources / path).parent.mkdir(parents=True, exist_ok=True)
    (sources / path).write_text("changed")

    assert tag(sources) == before


@pytest.mark.parametrize("path", MLFLOW.inputs)
def test_a_changed_file_of_mlflows_image_changes_its_tag(sources: Path, path: str) -> None:
    before = tag(sources, MLFLOW)
    (sources / path).write_text("changed")

    assert tag(sources, MLFLOW) != before


def test_another_base_image_changes_the_tag(sources: Path) -> None:
    assert tag(sources, base="python:3.12-slim") != tag(sources)


def test_a_renamed_file_changes_the_tag(sources: Path) -> None:
    before = tag(sources)
    (sources / "app/serving/application.py").rename(sources / "app/renamed.py")

    assert tag(sources) != before


def test_the_error_for_a_missing_source_names_the_alternative(sources: Path) -> None:
    (sources / "images/ray/Dockerfile").unlink()

    with pytest.raises(ImageError, match=r"Dockerfile is missing.*imageBuilder prebuilt"):
        tag(sources)


def test_the_error_for_a_lock_without_the_package_names_the_command_that_writes_it(sources: Path) -> None:
    (sources / RAY.lock).write_text("numpy==2.4.6\n")

    with pytest.raises(ImageError, match=r"requirements/app.txt pins no ray.*make lock"):
        content.locked_version(RAY, sources)


@pytest.mark.parametrize("content", [RAY, MLFLOW], ids=["ray", "mlflow"])
def test_every_input_of_an_image_is_in_the_project_and_in_the_build_context(content: ImageContent) -> None:
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()

    for path in content.inputs:
        assert (PROJECT / path).exists()
        assert path == content.dockerfile or f"!{path}" in ignored


def test_mlflows_server_and_client_have_the_same_version() -> None:
    client = replace(MLFLOW, lock=RAY.lock)

    assert content.locked_version(MLFLOW, PROJECT) == content.locked_version(client, PROJECT)


@pytest.mark.parametrize(
    ("stack", "changes", "start", "end"),
    [
        (
            "dev",
            {},
            (
                "minikube image ls --profile minikube | grep -qF manta-ray:{tag} || "
                "(minikube image build --profile minikube "
                "-t manta-ray:{tag} -f images/ray/Dockerfile --build-opt=build-arg"
            ),
            " . && minikube image ls --profile minikube | grep -F manta-ray:{tag})",
        ),
        (
            "prod",
            {},
            (
                f"docker buildx imagetools inspect {REGISTRY}/manta-ray:{{tag}} > /dev/null 2>&1 || "
                f"docker buildx build --push --platform linux/amd64 -t {REGISTRY}/manta-ray:{{tag}} "
                "-f images/ray/Dockerfile --build-arg "
            ),
            " .",
        ),
        (
            "dev",
            {"imageBuilder": "command", "buildCommand": "buildah build -t {image} -f {dockerfile} {context}"},
            "buildah build -t manta-ray:{tag} -f images/ray/Dockerfile .",
            "",
        ),
        (
            "dev",
            {"imageBuilder": "command", "buildCommand": "make {image} from {base}", "baseImage": "python:3.12"},
            "make manta-ray:{tag} from python:3.12",
            "",
        ),
    ],
)
def test_the_build_command_names_tag_dockerfile_and_context(
    program: Program, stack: str, changes: dict[str, object], start: str, end: str
) -> None:
    platform = "\0linux/amd64" if stack == "prod" else ""
    name = tag(program.root, base=str(changes.get("baseImage", OFFICIAL)) + platform)

    build = program.deploy(stack, **changes).resource(COMMAND, "ray-image-build").inputs

    assert build["create"].startswith(start.replace("{tag}", name))
    assert build["create"].endswith(end.replace("{tag}", name))
    assert not build["dir"].startswith("/")


@pytest.mark.parametrize("builder", ["minikube", "docker"])
@pytest.mark.parametrize("exists", [True, False])
def test_an_existing_image_is_not_built_again(sources: Path, tmp_path: Path, builder: str, *, exists: bool) -> None:
    images = parsed(imageBuilder=builder, registry=REGISTRY).images
    log, store = tmp_path / "log", tmp_path / "store"
    store.write_text(content.reference(RAY, images, sources) if exists else "manta-ray:older")
    (tmp_path / builder).write_text(FAKE_BUILDER.format(log=log, store=store))
    (tmp_path / builder).chmod(0o755)

    command = content.build_command(RAY, images, sources, profile="p")
    result = subprocess.run(["sh", "-c", command], env={"PATH": f"{tmp_path}:{os.defpath}"}, cwd=sources, check=False)

    assert result.returncode == 0
    assert any(" build " in f" {call} " for call in log.read_text().splitlines()) is not exists


@pytest.mark.parametrize("content", [RAY, MLFLOW], ids=["ray", "mlflow"])
def test_a_dockerfile_has_the_base_image_of_the_build_command_as_its_default(
    program: Program, content: ImageContent
) -> None:
    build = program.deploy().resource(COMMAND, f"{content.package}-image-build").inputs

    assert f"BASE_IMAGE={OFFICIAL} " in build["create"]
    assert f"ARG BASE_IMAGE={OFFICIAL}\n" in (PROJECT / content.dockerfile).read_text()


def test_the_build_passes_the_commit_and_the_version_for_the_labels(program: Program) -> None:
    command = program.deploy("prod").resource(COMMAND, "ray-image-build").inputs["create"]

    assert "--build-arg RAY_VERSION=2.60.0" in command
    assert '--build-arg GIT_COMMIT="$(git log -1 --format=%H -- images/ray/Dockerfile' in command


def builds_of(record: Record) -> list[RegisteredResource]:
    return [resource for resource in record.of_type(COMMAND) if resource.name.endswith("-build")]


def test_the_cluster_does_not_change_before_both_images_exist(program: Program) -> None:
    record = program.deploy()
    builds = {resource.urn for resource in builds_of(record)}

    assert len(builds) == 2
    for provider in record.of_type("pulumi:providers:kubernetes"):
        assert builds <= record.prerequisites(provider.urn)


def test_prebuilt_images_are_used_without_a_build(program: Program) -> None:
    record = program.deploy(imageBuilder="prebuilt", image="registry.example.com/ray:1")

    assert builds_of(record) == []
    assert record.outputs["image"] == "registry.example.com/ray:1"
    release = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    assert release["image"]["repository"].endswith("mlflow")


def test_a_named_mlflow_image_is_not_built(program: Program) -> None:
    record = program.deploy(mlflowImage="registry.example.com/mlflow:2")

    assert [resource.name for resource in builds_of(record)] == ["ray-image-build"]


def test_the_values_in_a_command_are_quoted_for_the_shell(sources: Path) -> None:
    images = parsed(imageBuilder="command", buildCommand="b {profile} {image}").images

    command = content.build_command(RAY, images, sources, profile="a;b")

    assert command.startswith("b 'a;b' manta-ray:")


def test_a_mirror_replaces_every_public_registry() -> None:
    images = parsed(imageRegistry="mirror.example.com/hub", imageBuilder="prebuilt", image="a/b:1").images

    assert content.base_image(images) == "mirror.example.com/hub/library/python:3.11.13-slim-bookworm"
    for reference in (references.operator, references.redis, references.mlflow, references.busybox):
        assert str(reference(images)).startswith("mirror.example.com/hub/")
    assert references.operator(images) == "mirror.example.com/hub/kuberay/operator:v1.7.0"


def test_every_image_can_be_replaced(program: Program) -> None:
    kinds = ("base", "operator", "redis", "mlflow", "busybox")

    record = program.deploy(**{f"{kind}Image": f"local/my-{kind}:9" for kind in kinds})

    text = str([resource.inputs for resource in record.resources.values()])
    for kind in kinds:
        assert f"local/my-{kind}:9" in text or f"'repository': 'local/my-{kind}'" in text
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
def test_a_reference_is_split_so_that_helm_charts_join_it_again(reference: str, parts: tuple[str, str]) -> None:
    assert references.split(reference) == parts


def test_a_pull_secret_reaches_every_pod(program: Program) -> None:
    record = program.deploy("prod", imageRegistry="mirror.example.com", imagePullSecret="login")

    text = str([resource.inputs for resource in record.resources.values()])
    assert text.count("'imagePullSecrets': [{'name': 'login'}]") == 6


def test_the_extras_of_a_stack_are_installed_in_the_image_of_ray_alone(program: Program) -> None:
    plain, extended = program.deploy("dev"), program.deploy("dev", imageExtras='["onnx", "xgboost"]')

    assert "EXTRAS=onnx,xgboost" in extended.resource(COMMAND, "ray-image-build").raw["create"]
    assert "EXTRAS" not in extended.resource(COMMAND, "mlflow-image-build").raw["create"]
    assert "EXTRAS" not in plain.resource(COMMAND, "ray-image-build").raw["create"]
    assert extended.outputs["image"] != plain.outputs["image"]
