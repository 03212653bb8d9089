"""Connections to services outside of the stack: Redis, Postgres, the artifact store and the OIDC provider."""

from typing import Annotated, Literal

from pydantic import Field

from infra.config.options import OptionGroup
from infra.config.vocabulary import Certificates, ObjectName, Url


class ConnectionOptions(OptionGroup):
    """Connections to external services."""

    redis_user: Annotated[str, Field(pattern=r"^\S*$")] = Field(
        "", description="User of the external Redis. Empty: the user `default`."
    )
    redis_secret: ObjectName = Field(
        "",
        examples=["redis-login"],
        description="Existing Secret with the key `password` of the external Redis, in place of `redisPassword`.",
    )
    redis_ca: Certificates = Field(
        "",
        description="Certificate authorities of the external Redis. Empty: the public ones.",
    )
    postgres_ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "prefer", description="TLS of the connections to Postgres, as libpq's `sslmode`."
    )
    postgres_ca: Certificates = Field(
        "",
        description="Certificate authorities of Postgres. Empty: the public ones, with `verify-ca` and `verify-full`.",
    )
    artifact_endpoint: Url = Field(
        "",
        examples=["https://minio.example.com:9000"],
        description="Address of an S3 server for `artifactRoot: s3://...`. Empty: Amazon S3.",
    )
    artifact_ca: Certificates = Field(
        "", description="Certificate authorities of the artifact store. Empty: the public ones."
    )
    mlflow_oidc_ca: Certificates = Field(
        "", description="Certificate authorities of the provider of `mlflowOidc`. Empty: the public ones."
    )
