"""The proxy: the environment variables of pods and builds, and what is reached without it."""

import pytest

from infra.config.proxy import ProxyOptions
from tests.support.program import Program

PROXY = {"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3129", "noProxy": [".example.com"]}


def test_without_a_proxy_there_are_no_variables() -> None:
    assert ProxyOptions().environment() == {}


def test_each_variable_exists_in_both_spellings() -> None:
    environment = ProxyOptions.model_validate(PROXY).environment()

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        assert environment[name] == environment[name.lower()]
    assert environment["HTTP_PROXY"] == PROXY["http"]


@pytest.mark.parametrize("host", ["localhost", ".svc", ".cluster.local", "mlflow", "169.254.169.254", ".example.com"])
def test_the_cluster_and_the_metadata_servers_are_reached_without_the_proxy(host: str) -> None:
    assert host in ProxyOptions.model_validate(PROXY).environment()["NO_PROXY"].split(",")


def test_the_pods_of_ray_and_mlflow_use_the_proxy(program: Program) -> None:
    record = program.deploy(proxy=PROXY)

    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        [container] = group["template"]["spec"]["containers"]
        assert {"name": "HTTPS_PROXY", "value": PROXY["https"]} in container["env"]
    values = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    assert values["extraEnvVars"]["https_proxy"] == PROXY["https"]


def test_a_build_uses_the_proxy_and_the_image_keeps_its_tag(program: Program) -> None:
    plain, proxied = program.deploy(), program.deploy(proxy=PROXY)

    command = proxied.resource("command:local:Command", "ray-image-build").inputs["create"]
    assert f"--build-opt=build-arg=HTTPS_PROXY={PROXY['https']}" in command
    assert proxied.outputs["image"] == plain.outputs["image"]
