"""Sign-in to MLflow's page with the accounts of an OpenID Connect (OIDC) provider."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from infra.config import urls
from infra.config.connection_options import ConnectionOptions
from infra.config.options import NO_SECRET, NestedOptions, OptionGroup
from infra.config.problem import Problem, set_command
from infra.config.vocabulary import ObjectName, allowed

DISCOVERY: Final = "/.well-known/openid-configuration"
"""Path that every provider adds to its issuer: <https://openid.net/specs/openid-connect-discovery-1_0.html>."""
EXAMPLE: Final = {
    "discoveryUrl": f"https://id.example.com/realms/ml{DISCOVERY}",
    "clientId": "mlflow",
    "groups": ["ml"],
    "adminGroups": ["ml-admins"],
}

DiscoveryUrl = Annotated[
    str,
    StringConstraints(pattern=rf"^(https?://[^/\s:@]+(:[0-9]{{1,5}})?(/\S*)?{DISCOVERY}(\?\S*)?)?$"),
    AfterValidator(urls.with_valid_port),
    allowed(f"https://HOST[:PORT][/PATH]{DISCOVERY}"),
]
Name = Annotated[str, StringConstraints(pattern=r"^[^\s,][^,]*$")]
"""A name of the provider. MLflow's plugin reads lists of names that commas separate."""
Scope = Annotated[str, StringConstraints(pattern=r"^[!-+\--~]+$")]


class MlflowOidc(NestedOptions):
    """The value of `mlflowOidc`."""

    discovery_url: DiscoveryUrl = ""
    client_id: str = ""
    groups: tuple[Name, ...] = ()
    """Groups whose members read everything, and change what they created."""
    admin_groups: tuple[Name, ...] = ()
    """Groups whose members change everything."""
    groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    """Claim of the ID token that lists the groups of a person."""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = ("openid", "email", "profile")
    """Scopes that MLflow asks the provider for."""


class SignInOptions(OptionGroup):
    """Sign-in to MLflow with OpenID Connect."""

    mlflow_oidc: MlflowOidc = Field(
        MlflowOidc(),
        examples=[EXAMPLE],
        description="OpenID Connect (OIDC) provider whose accounts sign in to MLflow's page: `discoveryUrl`, "
        "`clientId`, `groups` (their members read), `adminGroups` (their members change everything), `groupsClaim` "
        "(default `groups`) and `scopes` (default `openid`, `email`, `profile`).",
    )
    mlflow_oidc_client_secret: SecretStr = Field(NO_SECRET, description="Client secret of MLflow at the OIDC provider.")
    mlflow_oidc_secret: ObjectName = Field(
        "",
        examples=["mlflow-oidc-client"],
        description="Existing Secret with the key `client-secret`, in place of `mlflowOidcClientSecret`.",
    )

    @property
    def is_enabled(self) -> bool:
        """Whether people sign in to MLflow with an OIDC provider."""
        return bool(self.mlflow_oidc.discovery_url)


def problems(options: SignInOptions, connections: ConnectionOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    oidc = options.mlflow_oidc
    client_secret = options.mlflow_oidc_client_secret.get_secret_value()
    if not options.is_enabled:
        if oidc != MlflowOidc():
            yield Problem("mlflowOidc.discoveryUrl", "not set, and mlflowOidc is", _set("discoveryUrl"))
            return
        for key, value in (
            ("mlflowOidcClientSecret", client_secret),
            ("mlflowOidcSecret", options.mlflow_oidc_secret),
            ("mlflowOidcCa", connections.mlflow_oidc_ca),
        ):
            if value:
                yield Problem(key, "set, but mlflowOidc is not", set_command("mlflowOidc", EXAMPLE))
        return
    if not oidc.client_id:
        yield Problem("mlflowOidc.clientId", "not set; the provider knows MLflow by this ID", _set("clientId"))
    if not oidc.groups and not oidc.admin_groups:
        reason = "not set; only members of a group can sign in"
        yield Problem("mlflowOidc.groups", reason, "pulumi config set --path 'mlflowOidc.groups[0]' ml")
    if "openid" not in oidc.scopes:
        reason = f"given {', '.join(oidc.scopes)}; OpenID Connect needs the scope openid"
        command = f"pulumi config set --path 'mlflowOidc.scopes[{len(oidc.scopes)}]' openid"
        yield Problem("mlflowOidc.scopes", reason, command)
    if not client_secret and not options.mlflow_oidc_secret:
        reason = "not set; mlflowOidc needs the client secret here or in mlflowOidcSecret"
        yield Problem("mlflowOidcClientSecret", reason, "pulumi config set --secret mlflowOidcClientSecret")
    if client_secret and options.mlflow_oidc_secret:
        yield Problem(
            "mlflowOidcClientSecret", "set, and mlflowOidcSecret too", "pulumi config rm mlflowOidcClientSecret"
        )


def _set(field: str) -> str:
    return f"pulumi config set --path mlflowOidc.{field} {EXAMPLE[field]}"
