"""Renovate finds every pin of `infra/versions.py` and of the Dockerfiles by the patterns of `renovate.json`."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSIONS = ROOT / "infra" / "versions.py"
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))
VERSION = re.compile(r"v?\d+(\.\d+)+[\w.-]*")
IMAGE_LINE = re.compile(r"^(?:ARG \w+=|FROM )[^\s@$]+:([^\s:@]+)", re.MULTILINE)
MARKER = re.compile(r"^# renovate: .*\n", re.MULTILINE)


def matches(file: Path, text: str) -> Iterator[re.Match[str]]:
    """Matches of the patterns that `renovate.json` holds for a file, in the text of the file."""
    for manager in json.loads((ROOT / "renovate.json").read_text())["customManagers"]:
        name = file.relative_to(ROOT).as_posix()
        if any(re.search(pattern.strip("/"), name) for pattern in manager["managerFilePatterns"]):
            for pattern in manager["matchStrings"]:
                yield from re.finditer(pattern.replace("(?<", "(?P<"), text)


def matched_lines(file: Path, text: str) -> set[tuple[int, str]]:
    """Line and version of each pin that Renovate finds."""
    return {
        (text.count("\n", 0, match.start("currentValue")) + 1, match["currentValue"]) for match in matches(file, text)
    }


def pinned_lines(file: Path, text: str) -> set[tuple[int, str]]:
    """Line and version of each pin in a file."""
    if file.suffix != ".py":
        return {(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in IMAGE_LINE.finditer(text)}
    assignments = [node for node in ast.parse(text).body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value]
    values = [value for node in assignments for value in ast.walk(node) if isinstance(value, ast.Constant)]
    return {
        (value.lineno, value.value)
        for value in values
        if isinstance(value.value, str) and VERSION.fullmatch(value.value)
    }


@pytest.mark.parametrize("file", [VERSIONS, *DOCKERFILES], ids=str)
def test_renovate_finds_every_pin(file: Path) -> None:
    text = file.read_text()

    assert pinned_lines(file, text)
    assert matched_lines(file, text) == pinned_lines(file, text)


@pytest.mark.parametrize("file", [VERSIONS, *DOCKERFILES], ids=str)
def test_a_pin_without_its_marker_is_not_found(file: Path) -> None:
    text = file.read_text()

    for marker in MARKER.finditer(text):
        without = text[: marker.start()] + text[marker.end() :]
        assert len(matched_lines(file, without)) == len(matched_lines(file, text)) - 1


@pytest.mark.parametrize("file", [VERSIONS, *DOCKERFILES], ids=str)
def test_a_marker_names_the_dependency_that_stands_below_it(file: Path) -> None:
    text = file.read_text()

    for match in matches(file, text):
        pin = match[0].partition("\n")[2]
        groups = match.groupdict()
        if groups["datasource"] == "docker":
            registry, _, repository = groups["depName"].partition("/")
            assert registry in pin
            assert repository in pin
        if groups["datasource"] == "helm":
            assert f'"{groups["depName"]}"' in text
            assert f'"{groups["registryUrl"]}"' in text


def test_every_group_of_dependencies_exists() -> None:
    pins = {match["depName"] for file in (VERSIONS, *DOCKERFILES) for match in matches(file, file.read_text())}
    rules = json.loads((ROOT / "renovate.json").read_text())["packageRules"]

    packages_in_groups = {name for rule in rules for name in rule.get("matchPackageNames", [])}

    assert packages_in_groups <= pins
