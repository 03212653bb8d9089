"""The Secrets that the Ray containers read: Ray's token, the tokens of the service, and the key of signed models."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra import labels, names
from infra.config.catalog_options import CatalogOptions
from infra.config.credential_options import CredentialOptions
from infra.config.options import NO_SECRET, AppOptions
from infra.config.tracing_options import TracingOptions
from infra.credentials import SecretReference, kubernetes_secret, secret_value


@dataclass(frozen=True, kw_only=True)
class RaySecrets:
    """The registered Secrets."""

    ray_token: pulumi.Output[str]
    """Token of the dashboard and the Jobs API, secret."""
    serve_token: pulumi.Output[str]
    """Token of the service, secret."""
    ray: SecretReference
    """Secret of Ray's token. Another token has another Secret, so the old Ray cluster of an upgrade keeps its own."""
    others: Mapping[str, SecretReference]
    """The other Secrets, by name."""

    @property
    def checksums(self) -> dict[str, pulumi.Output[str]]:
        """Digest of each Secret, by name."""
        return {names.RAY_SECRET: self.ray.checksum} | {name: other.checksum for name, other in self.others.items()}

    @property
    def resources(self) -> list[pulumi.Resource]:
        """For the `depends_on` of the RayService."""
        return [self.ray.resource, *(other.resource for other in self.others.values())]


def register(
    name: str,
    namespace: pulumi.Input[str],
    app: AppOptions,
    credentials: CredentialOptions,
    catalog: CatalogOptions,
    tracing: TracingOptions,
    opts: pulumi.ResourceOptions,
) -> RaySecrets:
    """Register the Secrets.

    Args:
        name: Prefix of the names of the Pulumi resources.
        namespace: Namespace of the Secrets.
        app: Tokens of the configuration, and whether models are signed.
        credentials: Further credentials of the service.
        catalog: Tokens for predictions.
        tracing: Headers for the receiver of traces.
        opts: Options of the Pulumi resources.
    """
    ray_token = secret_value(f"{name}-ray-token", app.ray_token, opts)
    serve_token = secret_value(f"{name}-serve-token", app.serve_token, opts)
    previous = credentials.previous_serve_token.get_secret_value()
    serve: dict[str, pulumi.Input[str]] = {
        names.SERVE_SECRET_KEY: pulumi.Output.concat(serve_token, ",", previous) if previous else serve_token
    }
    if webhook := credentials.webhook_secret.get_secret_value():
        serve[names.WEBHOOK_SECRET_KEY] = webhook
    if tokens := catalog.predict_tokens.get_secret_value():
        serve[names.PREDICT_TOKENS_KEY] = tokens
    if headers := tracing.otlp_headers.get_secret_value():
        serve[names.OTLP_HEADERS_KEY] = headers
    others: dict[str, Mapping[str, pulumi.Input[str]]] = {names.SERVE_SECRET: serve}
    if app.allow_pickle:
        others[names.MODEL_SECRET] = {names.MODEL_SECRET_KEY: secret_value(f"{name}-model-key", NO_SECRET, opts)}
    return RaySecrets(
        ray_token=ray_token,
        serve_token=serve_token,
        ray=kubernetes_secret(
            f"{name}-ray-secret",
            names.RAY_SECRET,
            namespace=namespace,
            component=labels.RAY,
            content={names.RAY_SECRET_KEY: ray_token},
            opts=opts,
            is_versioned=True,
        ),
        others={
            secret_name: kubernetes_secret(
                f"{name}-{secret_name.partition('-')[0]}-secret",
                secret_name,
                namespace=namespace,
                component=labels.RAY,
                content=content,
                opts=opts,
            )
            for secret_name, content in others.items()
        },
    )
