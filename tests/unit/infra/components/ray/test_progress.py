"""The command that shows the progress of the RayService: it runs with each change, and never fails."""

import pytest

from infra.components.ray.progress import WATCH
from tests.support.engine import RegisteredResource
from tests.support.program import Program


def command(program: Program, **changes: object) -> RegisteredResource:
    return program.deploy(**changes).resource("command:local:Command", "ray-progress")


def test_the_command_runs_beside_the_ray_service_and_pulumi_shows_its_lines(program: Program) -> None:
    record = program.deploy()
    progress, service = command(program), record.resource("kubernetes:ray.io/v1:RayService")

    assert progress.urn not in record.prerequisites(service.urn)
    assert service.urn not in record.prerequisites(progress.urn)
    assert progress.inputs["logging"] == "stderr"
    assert progress.inputs["environment"]["MANTA_RAY_SERVICE"] == "manta"


@pytest.mark.parametrize(
    "changes",
    [
        {"cpus": 2},
        {"serveToken": "supplied-serve-token"},
        {"scheduling": {"head": {"nodeSelector": {"pool": "ml"}}}},
    ],
)
def test_the_command_is_repeated_when_the_ray_service_changes(program: Program, changes: dict[str, object]) -> None:
    assert command(program).inputs["triggers"] != command(program, **changes).inputs["triggers"]


def test_the_command_is_not_repeated_when_something_else_changes(program: Program) -> None:
    assert command(program).inputs == command(program, mlflowVolumeSize="3Gi").inputs


def test_a_failed_command_does_not_fail_the_update() -> None:
    assert WATCH.rstrip().endswith('|| echo "The progress of the RayService cannot be shown."')
