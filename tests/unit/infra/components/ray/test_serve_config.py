"""The Serve configuration of the RayService: the applications and the number of replicas."""

import pytest
import yaml

from tests.support.json_object import JsonObject
from tests.support.program import OTHER_NAMES, Program


def serve_config(program: Program, stack: str = "dev", **changes: object) -> JsonObject:
    service = program.deploy(stack, **changes).resource("kubernetes:ray.io/v1:RayService")
    config: JsonObject = yaml.safe_load(service.inputs["spec"]["serveConfigV2"])
    return config


def deployment(config: JsonObject) -> JsonObject:
    options: JsonObject = config["applications"][0]["deployments"][0]
    return options


@pytest.mark.parametrize(
    ("size", "per_worker"),
    [
        ({"cpus": 1, "memory": "2Gi"}, 1),
        ({"cpus": 3, "memory": "8Gi"}, 1),
        ({"cpus": 4, "memory": "8Gi"}, 2),
        ({"cpus": 16, "memory": "32Gi"}, 8),
        ({"cpus": 16, "memory": "3.5Gi"}, 3),
    ],
)
def test_a_worker_has_a_replica_for_every_two_cpus_as_far_as_its_memory_allows(
    program: Program, size: JsonObject, per_worker: int
) -> None:
    options = deployment(serve_config(program, "prod", **size))

    assert options["name"] == "ModelServer"
    assert options["max_replicas_per_node"] == per_worker
    assert options["ray_actor_options"]["num_cpus"] * per_worker == size["cpus"] / 2


def test_replicas_autoscale_up_to_the_maximum_number_of_workers(program: Program) -> None:
    options = deployment(serve_config(program, "prod", cpus=4, memory="8Gi", replicas=3, maxWorkers=10))

    assert options["autoscaling_config"] == {"min_replicas": 6, "max_replicas": 20, "target_ongoing_requests": 16}
    assert "num_replicas" not in options


def test_the_number_of_replicas_is_fixed_if_each_worker_has_a_replica(program: Program) -> None:
    options = deployment(serve_config(program, "dev", cpus=4, memory="8Gi", replicas=2))

    assert options["num_replicas"] == 4
    assert "autoscaling_config" not in options


def test_a_replica_takes_some_but_not_all_cpus_of_a_worker(program: Program) -> None:
    for stack, cpus in (("dev", 1), ("prod", 4)):
        options = deployment(serve_config(program, stack))
        assert 0 < options["ray_actor_options"]["num_cpus"] < cpus


def test_the_application_gets_its_model_its_route_and_the_limit_of_a_load(program: Program) -> None:
    application = serve_config(program, loadTimeoutSeconds=300, **OTHER_NAMES)["applications"][0]

    assert application["args"] == {"model_name": "Churn", "load_timeout_s": 300}
    assert application["route_prefix"] == "/churn"
    assert application["import_path"] == "app.serving.application:build"


def test_the_upgrade_barrier_waits_for_the_port_of_serve(program: Program) -> None:
    config = serve_config(program)

    barrier = config["applications"][1]
    assert barrier["import_path"] == "app.serving.upgrade_barrier:build"
    assert barrier["route_prefix"] is None
    assert barrier["args"] == {"port": config["http_options"]["port"]}
