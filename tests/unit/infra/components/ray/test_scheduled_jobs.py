"""Scheduled jobs: off by default, one run at a time, and with as few rights as possible."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config import cron
from infra.config.settings import SettingsError
from tests.support.engine import object_name
from tests.support.json_object import JsonObject
from tests.support.program import OTHER_NAMES, Program, flows_of, parsed

CRON_JOB = "kubernetes:batch/v1:CronJob"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
NIGHTLY: dict[str, object] = {"trainSchedule": "0 3 * * *"}
OTHER_SETTINGS: dict[str, object] = OTHER_NAMES | {
    "trainDeadlineMinutes": 90,
    "trainOptions": "--dataset wine --trees 200",
    "imagePullSecret": "login",
}
"""A value other than the default for each setting that the CronJob depends on."""


def spec(program: Program, stack: str = "dev", /, **changes: object) -> JsonObject:
    inputs: JsonObject = program.deploy(stack, **NIGHTLY | changes).resource(CRON_JOB).inputs["spec"]
    return inputs


def pod(program: Program, **changes: object) -> JsonObject:
    pod_spec: JsonObject = spec(program, "dev", **changes)["jobTemplate"]["spec"]["template"]["spec"]
    return pod_spec


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_without_a_schedule_there_is_no_cron_job(program: Program, stack: str) -> None:
    assert program.deploy(stack).of_type(CRON_JOB) == []


def test_runs_do_not_overlap_have_deadlines_and_are_not_retried(program: Program) -> None:
    cron_job = spec(program, **OTHER_SETTINGS)

    job = cron_job["jobTemplate"]["spec"]
    assert (cron_job["schedule"], cron_job["timeZone"]) == ("0 3 * * *", "Etc/UTC")
    assert cron_job["concurrencyPolicy"] == "Forbid"
    assert cron_job["startingDeadlineSeconds"] == 600
    assert (cron_job["successfulJobsHistoryLimit"], cron_job["failedJobsHistoryLimit"]) == (3, 3)
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (5400, 0)
    assert pod(program)["restartPolicy"] == "Never"


def test_it_submits_the_job_to_the_stacks_head_with_the_stacks_image(program: Program) -> None:
    record = program.deploy(**NIGHTLY | OTHER_SETTINGS)
    service = record.resource("kubernetes:ray.io/v1:RayService")
    ray = service.inputs["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]

    (container,) = record.resource(CRON_JOB).inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]

    assert container["image"] == ray["image"]
    assert container["command"] == ["manta", "train", "--address", "http://scoring-head-svc:8265"]
    assert container["args"] == ["--dataset", "wine", "--trees", "200"]
    assert service.urn in record.prerequisites(record.resource(CRON_JOB).urn)


def test_a_judgement_of_drift_has_a_cron_job_of_its_own(program: Program) -> None:
    record = program.deploy(**NIGHTLY, predictionLog="mlflow", driftSchedule="@hourly", trainDeadlineMinutes=90)

    cron_jobs = {object_name(cron_job): cron_job.inputs["spec"] for cron_job in record.of_type(CRON_JOB)}
    assert sorted(cron_jobs) == ["drift-schedule", "train-schedule"]
    drift = cron_jobs["drift-schedule"]
    job = drift["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert (drift["schedule"], drift["concurrencyPolicy"]) == ("@hourly", "Forbid")
    assert container["command"] == ["python", "-m", "app.cli.jobs.drift", "--address", "http://manta-head-svc:8265"]
    assert container["args"] == []
    assert {"name": "MANTA_USER", "value": "drift-schedule"} in container["env"]
    assert cron_jobs["train-schedule"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 5400


@pytest.mark.parametrize(("retrain_on", "minutes"), [("score", 60 + 90), ("drift", 60 + 90), ("never", 60)])
def test_a_judgement_of_drift_has_the_time_for_the_training_that_it_begins(
    program: Program, retrain_on: str, minutes: int
) -> None:
    changes = {"predictionLog": "mlflow", "driftSchedule": "@hourly", "trainDeadlineMinutes": 90}

    cron_job = program.deploy(**changes, retrainOn=retrain_on).resource(CRON_JOB).inputs["spec"]

    assert cron_job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == minutes * 60


def test_the_module_that_a_judgement_runs_exists() -> None:
    assert importlib.util.find_spec("app.cli.jobs.drift") is not None


def test_it_trains_the_code_in_the_image_and_uploads_no_files(program: Program) -> None:
    pod_spec = pod(program)
    (container,) = pod_spec["containers"]

    volumes = {volume["name"]: volume for volume in pod_spec["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert volumes[mounts[container["workingDir"]]]["emptyDir"] == {}
    assert mounts["/tmp"] != mounts[container["workingDir"]]  # noqa: S108  (a path in the pod)


def test_rays_token_comes_from_its_secret_and_the_container_has_no_other_secret(program: Program) -> None:
    (container,) = pod(program)["containers"]

    from_secrets = {entry["name"]: entry["valueFrom"] for entry in container["env"] if "valueFrom" in entry}
    plain = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    secret = object_name(program.deploy(**NIGHTLY).resource("kubernetes:core/v1:Secret", "ray-ray-secret"))
    assert from_secrets == {"RAY_AUTH_TOKEN": {"secretKeyRef": {"name": secret, "key": "auth_token"}}}
    assert plain == {"HOME": "/tmp", "MANTA_STACK": "test", "MANTA_USER": "train-schedule"}  # noqa: S108 - a path in the pod
    assert "envFrom" not in container


def test_it_has_no_rights_in_the_cluster_and_runs_unprivileged(program: Program) -> None:
    pod_spec = pod(program)
    (container,) = pod_spec["containers"]

    assert pod_spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod_spec
    assert pod_spec["securityContext"]["runAsNonRoot"] is True
    assert pod_spec["securityContext"]["runAsUser"] == 1000
    assert pod_spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["resources"]["limits"]["memory"] == "512Mi"


def test_it_pulls_the_image_with_the_configured_pull_secret(program: Program) -> None:
    assert pod(program, **OTHER_SETTINGS)["imagePullSecrets"] == [{"name": "login"}]


def test_it_connects_to_the_dashboard_and_to_dns_only() -> None:
    def flow_texts(**changes: object) -> set[str]:
        return {f"{flow.source.name} > {flow.destination.name} {flow.ports}" for flow in flows_of(**changes)}

    assert flow_texts(**NIGHTLY) - flow_texts() == {
        "schedule > ray (8265,)",
        "schedule > dns (53,)",
        "schedule > openshift-dns (5353,)",
    }
    assert flow_texts() <= flow_texts(**NIGHTLY)
    assert flow_texts(predictionLog="mlflow", driftSchedule="@hourly") == flow_texts(**NIGHTLY, predictionLog="mlflow")


def test_it_accepts_no_connections_and_its_pods_have_the_labels_of_its_policy(program: Program) -> None:
    policy = program.deploy(**NIGHTLY).resource(NETWORK_POLICY, "schedule").inputs["spec"]

    template = spec(program)["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert policy["ingress"] == []
    assert policy["podSelector"]["matchLabels"].items() <= template.items()


def test_it_is_in_the_namespace_of_ray(program: Program) -> None:
    cron_job = program.deploy(**NIGHTLY | OTHER_SETTINGS).resource(CRON_JOB)

    assert (cron_job.inputs["metadata"]["namespace"], object_name(cron_job)) == ("team-a", "train-schedule")


@pytest.mark.parametrize(
    "schedule",
    ["0 3 * * *", "*/15 0-6,22 1,15 jan-MAR,12 MON-fri", "@daily", "5/10 * ? * 0", "59 23 31 12 6", ""],
)
def test_a_schedule_that_kubernetes_accepts_is_accepted(schedule: str) -> None:
    assert parsed(trainSchedule=schedule).schedule.train_schedule == schedule


@pytest.mark.parametrize(
    ("schedule", "message"),
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
def test_a_schedule_that_kubernetes_refuses_is_refused_with_the_wrong_field(schedule: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parsed(trainSchedule=schedule)

    assert message in str(refused.value)
    assert "pulumi config set trainSchedule '0 3 * * *'" in str(refused.value)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=5, max_size=5))
def test_any_ascending_range_within_its_bounds_is_accepted(ends: list[tuple[int, int]]) -> None:
    fields = [
        f"{field.minimum + min(pair)}-{field.minimum + max(pair)}"
        for field, pair in zip(cron.FIELDS, ends, strict=True)
    ]

    assert cron.check(" ".join(fields)) == " ".join(fields)


def test_options_that_a_shell_cannot_parse_are_refused() -> None:
    with pytest.raises(SettingsError, match="pulumi config set trainOptions -- '--trees 200'"):
        parsed(trainOptions='--data "houses.csv')
