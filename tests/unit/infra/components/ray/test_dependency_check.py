"""The Job before the RayService: it reads what the Ray head reads, under the same policies."""

from tests.support.engine import Record
from tests.support.json_object import JsonObject
from tests.support.program import Program

JOB = "kubernetes:batch/v1:Job"
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
REDIS: dict[str, object] = {"redis": "external", "redisAddress": "redis.example.com:6380", "redisUser": "ray"}


def pod(record: Record) -> JsonObject:
    template: JsonObject = record.resource(JOB).inputs["spec"]["template"]
    return template


def environment(template: JsonObject) -> dict[str, JsonObject]:
    return {entry["name"]: entry for entry in template["spec"]["containers"][0]["env"]}


def test_the_ray_service_waits_for_the_check_and_the_check_for_what_it_asks(program: Program) -> None:
    record = program.deploy()
    service, job = record.resource(RAY_SERVICE), record.resource(JOB)

    assert job.urn in record.prerequisites(service.urn)
    needed = {record.resources[urn].name for urn in record.prerequisites(job.urn)}
    assert {"redis-server", "mlflow-release", "ray-ray-secret"} <= needed
    assert any(name.startswith("network-policies-ray") for name in needed)


def test_the_check_has_the_environment_of_the_head_and_the_address_that_kuberay_adds(program: Program) -> None:
    record = program.deploy(**REDIS, redisPassword="supplied-redis-passw")

    cluster = record.resource(RAY_SERVICE).inputs["spec"]["rayClusterConfig"]
    env = environment(pod(record))
    assert environment(cluster["headGroupSpec"]["template"]).items() <= env.items()
    assert env["RAY_REDIS_ADDRESS"]["value"] == cluster["gcsFaultToleranceOptions"]["redisAddress"]
    assert env["REDIS_USERNAME"]["value"] == "ray"
    password = cluster["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]
    assert env["REDIS_PASSWORD"]["valueFrom"] == password


def test_the_policies_of_ray_apply_to_the_check_and_no_service_selects_it(program: Program) -> None:
    record = program.deploy(access="nodePort", host="192.168.49.2")

    labels = pod(record)["metadata"]["labels"].items()
    (ray,) = [
        policy.inputs["spec"]["podSelector"]["matchLabels"]
        for policy in record.of_type("kubernetes:networking.k8s.io/v1:NetworkPolicy")
        if policy.inputs["metadata"]["name"] == "ray"
    ]
    assert ray.items() <= labels
    for service in record.of_type("kubernetes:core/v1:Service"):
        assert not service.inputs["spec"]["selector"].items() <= labels


def test_a_failed_check_is_created_again_and_a_changed_secret_repeats_it(program: Program) -> None:
    before, after = (program.deploy(**changes) for changes in ({}, {"rayToken": "supplied-ray-token-0"}))

    assert before.resource(JOB).inputs["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"
    assert pod(before)["metadata"]["annotations"] != pod(after)["metadata"]["annotations"]


def test_kubernetes_shows_the_last_lines_of_a_failed_check(program: Program) -> None:
    record = program.deploy()

    container = pod(record)["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "app.dependencies"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert record.resource(JOB).inputs["spec"]["backoffLimit"] == 0
