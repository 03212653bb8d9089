"""The whole program with many configurations: it runs, its objects are valid, and its invariants hold."""

import time

import pytest

from infra import endpoints
from tests.support import crds, engine
from tests.support.program import OTHER_NAMES, SECRETS, SUPPLIED, Program, parsed

EXTERNAL_REDIS: dict[str, object] = {"redis": "external", "redisAddress": "redis.example.com:6380"}
OCI_CHARTS: dict[str, object] = {
    "kuberayChart": "oci://m.example.com/k",
    "kuberayChartVersion": "1.7.1",
    "mlflowChart": "oci://m.example.com/m",
}
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "more cpus": ("prod", {"cpus": 8}),
    "gpus": ("dev", {"gpus": 2}),
    "fixed workers": ("dev", {"minWorkers": 2, "maxWorkers": 2}),
    "one worker": ("dev", {"maxWorkers": 1}),
    "two replicas": ("dev", {"replicas": 2}),
    "node ports": ("dev", {"access": "nodePort", "host": "192.168.49.2"}),
    "ingress in a local cluster": ("dev", {"access": "ingress", "host": "manta.test", "tls": "manta-tls"}),
    "external redis": ("dev", EXTERNAL_REDIS),
    "external redis without tls": ("dev", EXTERNAL_REDIS | {"redisTls": False}),
    "external redis with a password": ("prod", EXTERNAL_REDIS | {"redisPassword": "supplied-redis-passw"}),
    "supplied secrets": ("dev", {**SECRETS}),
    "supplied postgres": ("prod", {**SUPPLIED}),
    "volume with postgres": (
        "prod",
        {"maxWorkers": 1, "minWorkers": 1, "replicas": 1, "artifactRoot": "volume", "mlflowReplicas": 1},
    ),
    "google storage": ("prod", {"artifactRoot": "gs://bucket/path"}),
    "azure storage": ("prod", {"artifactRoot": "wasbs://c@a.blob.core.windows.net/p"}),
    "prebuilt": ("dev", {"imageBuilder": "prebuilt", "image": "registry.example.com/ray:1"}),
    "other builder": (
        "dev",
        {"imageBuilder": "command", "buildCommand": "make {image} from {base}", "baseImage": "python:3.12"},
    ),
    "mirror": ("prod", {"imageRegistry": "mirror.example.com", "imagePullSecret": "login"}),
    "oci charts": ("dev", OCI_CHARTS),
    "other names": ("dev", {**OTHER_NAMES}),
    "removed crds": ("dev", {"removeCrds": True}),
    "traces": ("prod", {"otlpEndpoint": "https://otlp.example.com", "otlpHeaders": "api-key=0123", "tracePercent": 5}),
    "listed models": (
        "prod",
        {
            "models": ["churn", "fraud"],
            "modelsMemory": "512Mi",
            "predictionLog": "s3://predictions/manta?region=eu-central-1",
            "predictionLogPercent": 50,
            "predictionLogRowsPerSecond": 0,
            "predictionLogColumns": ["age"],
            "predictionLogDays": 7,
            "predictNeedsToken": True,
            "predictTokens": "churn:supplied-churn-token,supplied-predict-token",
        },
    ),
    "retraining": ("prod", {"trainSchedule": "@daily", "trainOptions": "--trees 200"}),
    "drift": ("prod", {"predictionLog": "mlflow", "driftSchedule": "@hourly", "retrainOn": "drift"}),
    "a shared operator": (
        "prod",
        {"installOperator": False, "installCrds": False, "operatorNamespace": "kuberay-system"},
    ),
    "monitoring": ("prod", {"monitoring": "existing", "monitoringNamespace": "monitoring"}),
    "sign-in with oidc": (
        "prod",
        {
            "mlflowOidc": {
                "discoveryUrl": "https://id.example.com/.well-known/openid-configuration",
                "clientId": "mlflow",
                "groups": ["ml"],
            },
            "mlflowOidcClientSecret": "supplied-client-secret",
        },
    ),
    "existing namespaces": ("prod", {"createNamespaces": False}),
    "another stack's cluster": ("prod", {"clusterStack": "org/platform/prod", "context": ""}),
}
OUTPUTS = {
    *(
        "rayDashboardUrl",
        "mlflowUrl",
        "serveUrl",
        "rayToken",
        "serveToken",
        "mlflowUsername",
        "mlflowPassword",
    ),
    *(
        "stack",
        "kubeconfig",
        "namespace",
        "operatorNamespace",
        "context",
        "image",
        "rayVersion",
        "modelName",
        "showExamples",
        "forwards",
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_exports_all_outputs(program: Program, variant: str) -> None:
    stack, changes = VARIANTS[variant]

    record = program.deploy(stack, **changes)

    assert set(record.outputs) == OUTPUTS
    for secret in record.generated.values():
        assert secret not in str([resource.public for resource in record.resources.values()])


@crds.needed
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_registers_a_ray_service_that_kuberays_schema_accepts(program: Program, variant: str) -> None:
    stack, changes = VARIANTS[variant]

    record = program.deploy(stack, **changes)

    service = record.resource("kubernetes:ray.io/v1:RayService")
    assert crds.problems(service.inputs) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_objects_of_a_variant_have_different_names_in_the_cluster(program: Program, variant: str) -> None:
    stack, changes = VARIANTS[variant]

    objects = [
        (resource.inputs["kind"], resource.inputs["metadata"].get("namespace"), resource.inputs["metadata"]["name"])
        for resource in program.deploy(stack, **changes).objects()
    ]

    assert len(objects) == len(set(objects))


@pytest.mark.parametrize(
    ("stack", "changes", "urls"),
    [
        ("dev", {}, ["http://localhost:8265", "http://localhost:8989", "http://localhost:8000/fastapi_app"]),
        (
            "prod",
            {},
            [
                "https://ray.manta.example.com",
                "https://mlflow.manta.example.com",
                "https://manta.example.com/fastapi_app",
            ],
        ),
        (
            "dev",
            {"access": "nodePort", "host": "192.168.49.2"},
            [
                "http://192.168.49.2:30265",
                "http://192.168.49.2:30989",
                "http://192.168.49.2:30800/fastapi_app",
            ],
        ),
    ],
)
def test_outputs_contain_the_url_of_each_endpoint(
    program: Program, stack: str, changes: dict[str, object], urls: list[str]
) -> None:
    outputs = program.deploy(stack, **changes).outputs

    assert [outputs[name] for name in ("rayDashboardUrl", "mlflowUrl", "serveUrl")] == urls


def test_the_url_of_a_root_route_has_no_trailing_slash() -> None:
    serve = endpoints.endpoints(ray_service_name="manta", route_prefix="/")[-1]

    assert endpoints.url(serve, parsed().access) == "http://localhost:8000"


def test_outputs_contain_the_port_forwards(program: Program) -> None:
    outputs = program.deploy(**OTHER_NAMES).outputs

    assert engine.unwrap(outputs["forwards"]) == [
        {"name": name, "namespace": "team-a", "service": service, "port": port, "localPort": local}
        for name, service, port, local in (
            ("ray", "scoring-head-svc", 8265, 8265),
            ("mlflow", "mlflow", 5000, 8989),
            ("serve", "scoring-serve-svc", 8000, 8000),
        )
    ]


def test_the_program_runs_in_less_than_five_seconds(program: Program) -> None:
    start_s = time.process_time()

    program.deploy("prod", cpus=3)

    assert time.process_time() - start_s < 5
