"""Properties of random configurations: an accepted one is valid for KubeRay, a refusal names the correction."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulumi_kubernetes import apiextensions, core, meta

from infra import names
from infra.components.ray import ray_service_spec, serve_config
from infra.components.ray.spec_args import RayServiceSpecArgs
from infra.config import quantities
from infra.config.settings import Settings, SettingsError
from infra.credentials import from_secret
from tests.support import crds, engine
from tests.support.json_object import JsonObject
from tests.support.program import parsed

number = st.integers(-1, 12)
amount = st.one_of(
    st.from_regex(quantities.PATTERN, fullmatch=True),
    st.sampled_from(["500m", "1", "2Gi", "16Gi", "1.5G", "", "2GB", "-1", "1e3", "0"]),
)
label = st.one_of(st.text(max_size=70), st.from_regex(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?", fullmatch=True))
changes = st.fixed_dictionaries(
    {},
    optional={
        "cpus": number,
        "gpus": number,
        "minWorkers": number,
        "maxWorkers": number,
        "replicas": number,
        "memory": amount,
        "headCpus": amount,
        "headMemory": amount,
        "namespace": label,
        "rayServiceName": label,
        "modelName": label,
        "routePrefix": st.one_of(st.just("/"), st.text(max_size=12), st.just("/a/b")),
    },
)


def resource(stack: Settings) -> JsonObject:
    """RayService of a stack, as a program that consists of nothing else registers it."""
    args = RayServiceSpecArgs(
        ray_secret="ray-auth-0",  # noqa: S106 - the name of a Secret
        size=stack.size,
        target=stack.cluster.target,
        image="image:1",
        image_pull_secrets=[],
        serve_config=serve_config.build(stack.app, stack.size),
        redis_address="redis:6379",
        redis_secret=names.REDIS_SECRET,
        environment=[
            core.v1.EnvVarArgs(name="A", value="1"),
            core.v1.EnvVarArgs(name="B", value_from=from_secret("secret", "key")),
        ],
        head_environment=[core.v1.EnvVarArgs(name="B", value_from=from_secret("secret", "key", is_optional=True))],
        checksums={"secret": "abc"},
    )

    def program() -> None:
        apiextensions.CustomResource(
            "service",
            api_version="ray.io/v1",
            kind="RayService",
            metadata=meta.v1.ObjectMetaArgs(name=stack.cluster.ray_service_name, namespace=stack.cluster.namespace),
            spec=ray_service_spec.build(args),
        )

    return engine.run(program, config={}).resource("kubernetes:ray.io/v1:RayService").inputs


@crds.needed
@settings(max_examples=25)
@given(changes, st.sampled_from(["dev", "prod"]))
def test_kuberays_schema_accepts_the_ray_service_of_every_accepted_configuration(
    changed: dict[str, object], stack: str
) -> None:
    try:
        accepted = parsed(stack, **changed)
    except SettingsError:
        return

    assert crds.problems(resource(accepted)) == []


@settings(max_examples=25)
@given(changes, st.sampled_from(["dev", "prod"]))
def test_an_accepted_configuration_is_consistent_and_a_refusal_names_the_correcting_command(
    changed: dict[str, object], stack: str
) -> None:
    try:
        accepted = parsed(stack, **changed)
    except SettingsError as error:
        for line in str(error).splitlines()[1:]:
            assert "Correct it with: pulumi config " in line
            assert line.startswith("  manta:")
        return

    assert accepted.size.replicas <= accepted.size.max_workers
    assert len(accepted.cluster.ray_service_name) <= 47


@pytest.mark.parametrize(
    ("quantity", "canonical"),
    [
        ("1024Mi", "1Gi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("54.475Gi", "58492085862400m"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1.5", "1500m"),
        ("2000m", "2"),
        ("0.5m", "500u"),
        ("6.13699921283m", "6137u"),
    ],
)
def test_a_quantity_has_the_form_in_which_kubernetes_stores_it(quantity: str, canonical: str) -> None:
    assert quantities.canonical(quantity) == canonical
    assert parsed("dev", redisVolumeSize=quantity).storage.redis_volume_size == canonical


@settings(max_examples=25)
@given(
    st.sampled_from(["1", "500m", "0.1", "1.5", "3", "7k", "2Gi", "1023Ki", "0.001m"]),
    st.sampled_from([Decimal("0.5"), Decimal(1)]),
)
def test_a_share_is_above_zero_and_exceeds_the_exact_share_by_rounding_only(quantity: str, share: Decimal) -> None:
    amount = quantities.value(quantity)

    result = quantities.value(quantities.cpu_share(quantity, share))

    assert 0 < result < amount * share + Decimal("0.0011")
