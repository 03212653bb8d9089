"""Ways in: Ingress, HTTPRoute, load balancer and node port, for the services that the stack publishes."""

import pytest

from infra.config.settings import SettingsError
from tests.support import engine
from tests.support.engine import Record, object_name
from tests.support.json_object import JsonObject
from tests.support.program import Program, flows_of, parsed

ROUTE = "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
SERVICE = "kubernetes:core/v1:Service"
GATEWAY: dict[str, object] = {"access": "gateway", "gateway": "infra/public", "tls": "", "ingressNamespace": "infra"}
LOAD_BALANCER: dict[str, object] = {"access": "loadBalancer", "tls": ""}


def serve_service(record: Record) -> JsonObject | None:
    service: JsonObject | None = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"].get("serveService")
    return service


def clients(**changes: object) -> set[str]:
    """Connections from outside that the policies allow."""
    platform = {"ray", "mlflow", "operator", "redis"}
    return {
        f"{flow.source.name or flow.source.cidrs} > {flow.destination.name} {','.join(map(str, flow.ports))}"
        for flow in flows_of("prod", **changes)
        if flow.destination.name in platform and flow.source.name not in platform
    }


def test_a_gateway_gets_one_route_for_each_service(program: Program) -> None:
    record = program.deploy("prod", **GATEWAY, accessAnnotations={"example.com/team": "risk"})

    routes = {object_name(route): route.inputs for route in record.of_type(ROUTE)}
    assert set(routes) == {"access-ray", "access-mlflow", "access-serve"}
    serve = routes["access-serve"]
    assert serve["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "infra"}],
        "hostnames": ["manta.example.com"],
        "rules": [
            {"backendRefs": [{"name": "manta-serve-svc", "port": 8000}], "timeouts": {"request": "180s"}},
        ],
    }
    assert serve["metadata"]["annotations"] == {"example.com/team": "risk"}
    [ray] = routes["access-ray"]["spec"]["rules"][0]["backendRefs"]
    own = record.resource(SERVICE, "access-ray").inputs["spec"]
    assert (ray["name"], own["type"], own["ports"][0].get("appProtocol")) == ("access-ray", "ClusterIP", None)
    assert record.outputs["serveUrl"] == "https://manta.example.com/fastapi_app"
    assert record.of_type(INGRESS) == []


def test_load_balancers_have_names_and_take_requests_of_the_site_only(program: Program) -> None:
    internal = {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}
    record = program.deploy("prod", **LOAD_BALANCER, accessCidrs=["10.0.0.0/16"], accessAnnotations=internal)

    services = [service.inputs for service in record.of_type(SERVICE) if service.inputs["spec"].get("type")]
    serve = serve_service(record)
    assert serve is not None
    for service in (*services, serve):
        assert service["spec"]["type"] == "LoadBalancer"
        assert service["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/16"]
        assert internal.items() <= service["metadata"]["annotations"].items()
    assert len(services) == 2
    assert serve["metadata"]["annotations"]["external-dns.alpha.kubernetes.io/hostname"] == "manta.example.com"
    assert record.outputs["rayDashboardUrl"] == "http://ray.manta.example.com:8265"


@pytest.mark.parametrize("way", [{}, GATEWAY, LOAD_BALANCER])
def test_only_the_published_services_are_reachable(program: Program, way: dict[str, object]) -> None:
    record = program.deploy("prod", **way, publish=["serve"])

    opened = [*record.of_type(INGRESS), *record.of_type(ROUTE)]
    assert {object_name(resource) for resource in opened} <= {"access-serve"}
    assert not [service for service in record.of_type(SERVICE) if service.inputs["spec"].get("type")]
    assert record.outputs["mlflowUrl"] == "http://localhost:8989"
    assert record.outputs["serveUrl"].startswith(("https://manta.example.com", "http://manta.example.com"))
    release = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    assert not [host for host in release["serverAllowedHosts"] if "manta.example.com" in host]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"ingress > ray 8265,8000", "ingress > mlflow 5000"}),
        ({"publish": ["serve"]}, {"ingress > ray 8000"}),
        (
            {"publish": ["serve"], "accessCidrs": ["35.191.0.0/16"]},
            {"ingress > ray 8000", "clients > ray 8000"},
        ),
        ({**LOAD_BALANCER, "publish": ["serve"]}, {"anywhere > ray 8000"}),
        ({**LOAD_BALANCER, "publish": ["mlflow"], "accessCidrs": ["10.0.0.0/8"]}, {"clients > mlflow 5000"}),
        ({**GATEWAY, "publish": ["ray"]}, {"ingress > ray 8265"}),
    ],
)
def test_the_policies_let_in_the_clients_of_the_published_services(
    changes: dict[str, object], expected: set[str]
) -> None:
    assert clients(**changes) == expected


def test_an_ingress_waits_for_a_load_and_takes_the_annotations_of_its_controller(program: Program) -> None:
    record = program.deploy(
        "prod",
        loadTimeoutSeconds=300,
        ingressClass="alb",
        accessAnnotations={"alb.ingress.kubernetes.io/target-type": "ip"},
    )

    for ingress in record.of_type(INGRESS):
        annotations = ingress.inputs["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "360"
        assert annotations["alb.ingress.kubernetes.io/target-type"] == "ip"
        assert ingress.inputs["spec"]["ingressClassName"] == "alb"


def test_a_published_service_has_no_tunnel_url_and_all_services_keep_their_tunnels(program: Program) -> None:
    outputs = program.deploy("prod", publish=["serve"]).outputs

    assert [forward["name"] for forward in engine.unwrap(outputs["forwards"])] == ["ray", "mlflow", "serve"]


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        (GATEWAY | {"gateway": ""}, "pulumi config set gateway NAMESPACE/NAME"),
        (GATEWAY | {"gateway": "public"}, "pulumi config set gateway infra/public"),
        ({"gateway": "infra/public"}, "pulumi config set access gateway"),
        (LOAD_BALANCER | {"host": ""}, "pulumi config set host manta.example.com"),
        ({"publish": ["redis"]}, "pulumi config rm publish"),
        ({"access": "port-forward", "accessCidrs": ["10.0.0.0/8"]}, "pulumi config rm accessCidrs"),
        ({"accessCidrs": ["10.0.0.0/99"]}, "pulumi config rm accessCidrs"),
    ],
)
def test_a_contradiction_is_refused_with_the_command_that_corrects_it(changes: dict[str, object], command: str) -> None:
    with pytest.raises(SettingsError) as error:
        parsed("prod", **changes)

    assert command in str(error.value)
