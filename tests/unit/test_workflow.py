"""The workflow of continuous integration: pinned actions, least permissions, names that exist."""

import re
from pathlib import Path

import pytest
import yaml

from infra import versions
from tests.support.json_object import JsonObject

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def workflow() -> JsonObject:
    loaded: JsonObject = yaml.safe_load(FILE.read_text())
    return loaded


def test_every_action_is_pinned_by_commit_with_its_version() -> None:
    uses = re.findall(r"uses: (.+)", FILE.read_text())

    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_a_job_may_only_read_the_repository_and_ends_in_time(workflow: JsonObject) -> None:
    assert workflow["permissions"] == {}

    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 60


def test_the_workflow_runs_every_target_of_make_test(workflow: JsonObject) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^test: ([\w ]+?) ##", makefile, re.MULTILINE)[0].split()
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]

    assert [target for target in targets if f"make {target}" not in commands] == []


def test_the_workflow_reads_pins_that_exist() -> None:
    pins = re.findall(r"\$\(pin (\w+)\)", FILE.read_text())

    assert len(pins) == 3
    assert [pin for pin in pins if not hasattr(versions, pin)] == []
