"""Retraining on a schedule: off by default, one run at a time, with as few rights as the cluster can give."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.components.network_policies import flows, policies
from infra.config import cron
from infra.config.settings import SettingsError
from tests.support.engine import object_name
from tests.support.program import OTHER_NAMES, Program, parsed

CRON_JOB = "kubernetes:batch/v1:CronJob"
NIGHTLY: dict[str, object] = {"trainSchedule": "0 3 * * *"}
OTHERWISE: dict[str, object] = OTHER_NAMES | {
    "trainDeadlineMinutes": 90,
    "trainOptions": "--dataset wine --trees 200",
    "imagePullSecret": "login",
}
"""Every setting that a run follows, set."""


def spec(program: Program, stack: str = "dev", /, **changes: object) -> dict[str, Any]:
    inputs: dict[str, Any] = program.deploy(stack, **NIGHTLY | changes).one(CRON_JOB).inputs["spec"]
    return inputs


def pod(program: Program, **changes: object) -> dict[str, Any]:
    made: dict[str, Any] = spec(program, "dev", **changes)["jobTemplate"]["spec"]["template"]["spec"]
    return made


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_nothing_is_scheduled_unless_asked_for(program: Program, stack: str) -> None:
    assert program.deploy(stack).of_type(CRON_JOB) == []


def test_one_run_at_a_time_starts_in_time_ends_in_time_and_is_tried_once(program: Program) -> None:
    made = spec(program, **OTHERWISE)

    job = made["jobTemplate"]["spec"]
    assert (made["schedule"], made["timeZone"]) == ("0 3 * * *", "Etc/UTC")
    assert made["concurrencyPolicy"] == "Forbid"
    assert made["startingDeadlineSeconds"] == 600
    assert (made["successfulJobsHistoryLimit"], made["failedJobsHistoryLimit"]) == (3, 3)
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (5400, 0)
    assert pod(program)["restartPolicy"] == "Never"


def test_it_submits_to_the_head_of_the_stack_by_the_image_of_the_stack(program: Program) -> None:
    record = program.deploy(**NIGHTLY | OTHERWISE)
    service = record.one("kubernetes:ray.io/v1:RayService")
    ray = service.inputs["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]

    (container,) = record.one(CRON_JOB).inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]

    assert container["image"] == ray["image"]
    assert container["command"] == ["manta", "train", "--address", "http://scoring-head-svc:8265"]
    assert container["args"] == ["--dataset", "wine", "--trees", "200"]
    assert service.urn in record.needs(record.one(CRON_JOB).urn)


def test_it_trains_the_code_of_the_image_and_sends_no_files(program: Program) -> None:
    made = pod(program)
    (container,) = made["containers"]

    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert {volume["name"]: volume for volume in made["volumes"]}[mounted[container["workingDir"]]]["emptyDir"] == {}
    assert mounted["/tmp"] != mounted[container["workingDir"]]  # noqa: S108  (a path in the pod)


def test_its_token_comes_from_the_secret_of_ray_and_it_knows_no_other(program: Program) -> None:
    (container,) = pod(program)["containers"]

    given_by_secret = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    clear = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    assert given_by_secret == {"RAY_AUTH_TOKEN": {"secretKeyRef": {"name": "ray-auth", "key": "auth_token"}}}
    assert clear == {"HOME": "/tmp", "MANTA_STACK": "test", "MANTA_USER": "train-schedule"}  # noqa: S108
    assert "envFrom" not in container


def test_it_has_no_rights_in_the_cluster_and_none_on_its_node(program: Program) -> None:
    made = pod(program)
    (container,) = made["containers"]

    assert made["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in made
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["runAsUser"] == 1000
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["resources"]["limits"]["memory"] == "512Mi"


def test_it_pulls_the_image_as_ray_does(program: Program) -> None:
    assert pod(program, **OTHERWISE)["imagePullSecrets"] == [{"name": "login"}]


def test_it_talks_to_the_dashboard_and_to_dns_alone() -> None:
    def table(**changes: object) -> set[str]:
        listed = flows(parsed(**changes))
        return {f"{flow.source.name} > {flow.destination.name} {flow.ports}" for flow in listed}

    assert table(**NIGHTLY) - table() == {"schedule > ray (8265,)", "schedule > dns (53,)"}
    assert table() <= table(**NIGHTLY)


def test_nobody_talks_to_it_and_its_pods_carry_the_labels_of_its_policy(program: Program) -> None:
    policy = policies(flows(parsed(**NIGHTLY)))["manta", "schedule"]

    template = spec(program)["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert policy["ingress"] == []
    assert policy["podSelector"]["matchLabels"].items() <= template.items()


def test_it_lies_beside_ray(program: Program) -> None:
    one = program.deploy(**NIGHTLY | OTHERWISE).one(CRON_JOB)

    assert (one.inputs["metadata"]["namespace"], object_name(one)) == ("team-a", "train-schedule")


@pytest.mark.parametrize(
    "schedule",
    ["0 3 * * *", "*/15 0-6,22 1,15 jan-MAR,12 MON-fri", "@daily", "5/10 * ? * 0", "59 23 31 12 6", ""],
)
def test_a_schedule_that_kubernetes_takes_is_taken(schedule: str) -> None:
    assert parsed(trainSchedule=schedule).schedule.train_schedule == schedule


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("daily", "five fields"),
        ("@never", "five fields"),
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("60 3 * * *", "minute '60' is not allowed; allowed is 0 to 59"),
        ("0 24 * * *", "hour '24'"),
        ("0 3 0 * *", "day of the month '0'"),
        ("0 3 * 13 *", "month '13'"),
        ("0 3 * * 7", "day of the week '7'"),
        ("0 3 * * funday", "day of the week 'funday'"),
        ("0 3 * * fri-mon", "ends before it begins"),
        ("*/0 3 * * *", "step of 0"),
        ("*-5 3 * * *", "does not have the form"),
        ("1, 3 * * *", "minute '' does not have the form"),
        ("TZ=UTC 0 3 * * *", "five fields"),
    ],
)
def test_a_schedule_that_kubernetes_refuses_is_refused_with_the_field_at_fault(schedule: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parsed(trainSchedule=schedule)

    assert said in str(refused.value)
    assert "pulumi config set trainSchedule '0 3 * * *'" in str(refused.value)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=5, max_size=5))
def test_any_range_in_bounds_that_ends_after_it_begins_is_taken(ends: list[tuple[int, int]]) -> None:
    fields = [
        f"{field.least + min(pair)}-{field.least + max(pair)}" for field, pair in zip(cron.FIELDS, ends, strict=True)
    ]

    assert cron.checked(" ".join(fields)) == " ".join(fields)


def test_options_that_no_shell_would_take_are_refused() -> None:
    with pytest.raises(SettingsError, match="pulumi config set trainOptions -- '--trees 200'"):
        parsed(trainOptions='--data "houses.csv')
