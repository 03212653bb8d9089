"""Options of the builds: platforms, package index and certificate authorities, and files that change no tag."""

from pathlib import Path

import pytest

from infra.images import content, references
from infra.images.content import RAY
from tests.support.program import SOURCES, parsed

PROJECT = Path(__file__).parents[4]
REGISTRY = "registry.example.com/ml"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for path, text in SOURCES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"imageBuilder": "docker", "registry": REGISTRY}, "--platform linux/amd64 "),
        (
            {"imageBuilder": "docker", "registry": REGISTRY, "imagePlatforms": ["linux/arm64", "linux/amd64"]},
            "--platform linux/amd64,linux/arm64 ",
        ),
    ],
)
def test_an_image_for_a_registry_is_built_for_the_platforms_of_the_nodes(
    sources: Path, changes: dict[str, object], option: str
) -> None:
    assert option in content.build_command(RAY, parsed(**changes).images, sources, profile="p")


def test_the_platforms_are_part_of_the_tag(sources: Path) -> None:
    options = [
        parsed(imageBuilder="docker", registry=REGISTRY, imagePlatforms=platforms).images
        for platforms in ([], ["linux/amd64"], ["linux/arm64"])
    ]

    default, amd64, arm64 = (content.reference(RAY, images, sources) for images in options)

    assert default == amd64 != arm64


def test_stray_files_change_no_tag(sources: Path) -> None:
    before = content.tag(RAY, sources, base="python:3.11-slim")

    for name in (".DS_Store", "application.py~", ".idea/workspace.xml", "serving/.application.py.swp", "a.pyc"):
        (sources / "app" / name).parent.mkdir(exist_ok=True)
        (sources / "app" / name).write_text("left by a program")

    assert content.tag(RAY, sources, base="python:3.11-slim") == before


def test_a_build_uses_the_package_index_and_the_authorities_of_the_site(sources: Path) -> None:
    authority = (PROJECT / "tests" / "support" / "authority.pem").read_text()
    images = parsed(packageIndex="https://packages.example.com/simple", buildCa=authority).images

    command = content.build_command(RAY, images, sources, profile="p")

    assert "PIP_INDEX_URL=https://packages.example.com/simple" in command
    assert f"CA_CERTIFICATES='{authority}'" in command
    assert content.reference(RAY, images, sources) == content.reference(RAY, parsed().images, sources)


def test_a_reference_may_have_a_tag_and_a_digest() -> None:
    reference = f"registry.example.com/redis:7.4@sha256:{'a' * 64}"

    assert references.redis(parsed(redisImage=reference).images) == reference
    assert references.split(reference) == ("registry.example.com/redis:7.4@sha256", "a" * 64)
