"""The keys of the sign-in to MLflow: what is refused, and the command that corrects it."""

import pytest

from infra.config.settings import SettingsError
from tests.support.program import parsed

OIDC: dict[str, object] = {
    "discoveryUrl": "https://id.example.com/realms/ml/.well-known/openid-configuration",
    "clientId": "mlflow",
    "groups": ["ml"],
}
SECRET: dict[str, object] = {"mlflowOidcClientSecret": "a [short]* one?"}
REFUSED: list[tuple[dict[str, object], str, str]] = [
    # changes, part of the reason, part of the command
    ({"mlflowOidc": OIDC}, "mlflowOidc needs the client secret", "pulumi config set --secret mlflowOidcClientSecret"),
    (
        {"mlflowOidc": OIDC, "mlflowOidcSecret": "given", "mlflowOidcClientSecret": "too"},
        "set, and mlflowOidcSecret too",
        "pulumi config rm mlflowOidcClientSecret",
    ),
    (
        {"mlflowOidc": OIDC | {"discoveryUrl": "https://id.example.com/realms/ml"}},
        "given 'https://id.example.com/realms/ml'",
        "pulumi config set --path mlflowOidc.discoveryUrl https://id.example.com/",
    ),
    (
        {"mlflowOidc": OIDC | {"discoveryUrl": "https://u:p@id.example.com/.well-known/openid-configuration"}},
        "should match pattern",
        "pulumi config set --path mlflowOidc.discoveryUrl https://id.example.com/",
    ),
    ({"mlflowOidc": {"groups": ["ml"]}}, "not set, and mlflowOidc is", "--path mlflowOidc.discoveryUrl https://"),
    (
        {"mlflowOidc": OIDC | {"clientId": ""}, "mlflowOidcSecret": "given"},
        "the provider knows MLflow by this ID",
        "pulumi config set --path mlflowOidc.clientId mlflow",
    ),
    (
        {"mlflowOidc": OIDC | {"groups": []}, "mlflowOidcSecret": "given"},
        "only members of a group can sign in",
        "pulumi config set --path 'mlflowOidc.groups[0]' ml",
    ),
    ({"mlflowOidc": OIDC | {"groups": ["a,b"]}}, "given 'a,b'", "pulumi config set --path 'mlflowOidc.groups[0]' ml"),
    (
        {"mlflowOidc": OIDC | {"scopes": ["email"]}, "mlflowOidcSecret": "given"},
        "needs the scope openid",
        "pulumi config set --path 'mlflowOidc.scopes[1]' openid",
    ),
    ({"mlflowOidc": OIDC | {"clientSecret": "a"}}, "Extra inputs are not permitted", "pulumi config rm mlflowOidc"),
    (SECRET, "set, but mlflowOidc is not", "pulumi config set --path mlflowOidc.clientId mlflow"),
    ({"mlflowOidcSecret": "given"}, "set, but mlflowOidc is not", "pulumi config set --path mlflowOidc.clientId"),
]


@pytest.mark.parametrize(("changes", "reason", "command"), REFUSED)
def test_a_contradiction_is_refused_with_the_command_that_corrects_it(
    changes: dict[str, object], reason: str, command: str
) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(**changes)

    assert reason in str(error.value)
    assert command in str(error.value)


def test_without_the_key_nobody_signs_in_with_a_provider() -> None:
    assert not parsed().sign_in.is_enabled
    assert not parsed("prod").sign_in.is_enabled


@pytest.mark.parametrize("secret", [SECRET, {"mlflowOidcSecret": "given"}])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adminGroups": ["ML admins"], "groups": []},
        {"groupsClaim": "cognito:groups", "scopes": ["openid", "api://manta/.default", "offline-access"]},
        {"discoveryUrl": "http://idp.id.svc:8080/.well-known/openid-configuration?p=policy"},
    ],
)
def test_a_provider_with_a_secret_and_a_group_is_accepted(
    changes: dict[str, object], secret: dict[str, object]
) -> None:
    assert parsed(mlflowOidc=OIDC | changes, **secret).sign_in.is_enabled


def test_a_client_secret_in_the_object_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SettingsError) as error:
        parsed(mlflowOidc=OIDC | {"clientSecret": "the-secret-of-the-client"})

    assert "the-secret-of-the-client" not in str(error.value)
