"""Validation by the API server of stacks that use what a site has: nodes, data services and load balancers."""

from pathlib import Path

import pytest

from tests.e2e.conftest import NAMESPACE
from tests.support.json_object import JsonObject
from tests.support.kubernetes import Api
from tests.support.program import Program

AUTHORITY = (Path(__file__).parents[1] / "support" / "authority.pem").read_text()
PLACE: JsonObject = {
    "nodeSelector": {"pool": "ml"},
    "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]}}
            ]
        }
    },
    "labels": {"cost-center": "42"},
    "annotations": {"example.com/owner": "risk"},
    "env": {"TZ": "Europe/Berlin"},
    "ephemeralStorage": "2Gi",
}
GPU_GROUP: JsonObject = {"name": "gpu", "cpus": 8, "memory": "32Gi", "gpus": 1, "maxWorkers": 4, "spot": True}
STACKS: dict[str, dict[str, object]] = {
    "nodes and worker groups": {
        "scheduling": {"all": PLACE},
        "trainWorkers": 4,
        "trainMinWorkers": 1,
        "workerGroups": [GPU_GROUP],
    },
    "data services": {
        "redis": "external",
        "redisAddress": "redis.example.com:6380",
        "redisUser": "ray",
        "redisSecret": "redis-login",
        "redisCa": AUTHORITY,
        "postgresSslMode": "verify-full",
        "postgresCa": AUTHORITY,
        "artifactEndpoint": "https://minio.example.com:9000",
        "artifactCa": AUTHORITY,
    },
    "load balancers": {
        "access": "loadBalancer",
        "tls": "",
        "accessCidrs": ["10.0.0.0/16"],
        "publish": ["ray", "serve"],
    },
    "an ingress of a cloud": {
        "ingressClass": "alb",
        "accessAnnotations": {"alb.ingress.kubernetes.io/target-type": "ip"},
        "accessCidrs": ["10.0.0.0/16"],
    },
}


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("options", STACKS)
def test_every_object_is_accepted_without_a_warning(api: Api, program: Program, options: str) -> None:
    record = program.deploy("prod", namespace=NAMESPACE, kuberayChart="./kuberay", **STACKS[options])

    objects = [resource.inputs for resource in record.objects()]
    assert len(objects) >= 15
    assert api.problems(objects) == []
