"""Checks MLflow: its address, the user and password, the allowed host names, and a put and a get of an artifact."""

import secrets
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from app.dependencies.result import CheckFailedError, Result, Status, resolve
from app.errors import cause

NAME: Final = "mlflow"
TIMEOUT_S: Final = 15.0
"""Longest wait for an answer: MLflow asks its database or its object store."""
ARTIFACTS: Final = "/api/2.0/mlflow-artifacts/artifacts"
LOGIN: Final = "/login"
"""Page of mlflow-oidc-auth that reads the discovery document and redirects to the provider."""
CHECK_PROVIDER: Final = "Check `discoveryUrl`, `mlflowOidcCa`, and the connections that `extraEgress` allows."
SEE_LOG: Final = "MLflow's log says why: kubectl logs deployment/mlflow"


def check(url: str, *, user: str, password: SecretStr, experiment: str) -> Result:
    """Check everything that a training and a replica need of MLflow.

    Args:
        url: Tracking URI.
        user: User of MLflow; empty without authentication.
        password: Password of the user.
        experiment: Name of the experiment to whose artifacts the check adds one, which it deletes.

    Raises:
        CheckFailedError: Training could not record a run, or a replica could not load a model.
    """
    resolve(urlsplit(url).hostname or "", key="")
    credentials = httpx.BasicAuth(user, password.get_secret_value()) if user else None
    with httpx.Client(base_url=url, auth=credentials, timeout=TIMEOUT_S) as client:
        try:
            identifier = _experiment_id(client, experiment)
            warning = _check_artifacts(client, identifier)
            signs_in = _signs_in(client)
        except httpx.HTTPError as error:
            raise CheckFailedError(
                f"MLflow at {url} does not answer: {cause(error)}.", next_step=SEE_LOG, is_transient=True
            ) from error
    if not signs_in:
        detail = "MLflow does not reach the provider of `mlflowOidc`, so nobody can sign in to its page."
        return Result(check=NAME, status=Status.WARNING, detail=detail, next_step=f"{CHECK_PROVIDER} {SEE_LOG}")
    detail = f"MLflow at {url} accepts the password, and its artifact store can be written and read."
    return Result(check=NAME, status=Status.WARNING if warning else Status.OK, detail=warning or detail)


def _experiment_id(client: httpx.Client, experiment: str) -> str:
    """Id of the experiment, or that of MLflow's default experiment before the first training."""
    response = client.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": experiment})
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise CheckFailedError(
            "MLflow refuses the user and the password of the stack.",
            next_step="The database of MLflow holds another password. Give the stack that password with: "
            "pulumi config set --secret mlflowPassword",
        )
    if response.status_code == httpx.codes.FORBIDDEN and "host" in response.text.lower():
        raise CheckFailedError(
            f"MLflow refuses the host name {client.base_url.host}: {response.text.strip()}.",
            next_step="MLflow's environment variable MLFLOW_SERVER_ALLOWED_HOSTS must list it.",
        )
    if response.status_code == httpx.codes.NOT_FOUND:
        return "0"
    if response.is_error:
        raise CheckFailedError(
            f"MLflow answers {response.status_code}: {response.text.strip()[:300]}.",
            next_step=SEE_LOG,
            is_transient=response.is_server_error,
        )
    return str(response.json()["experiment"]["experiment_id"])


def _check_artifacts(client: httpx.Client, experiment_id: str) -> str:
    """Put, get and delete an artifact. Return a warning if the user may not write to the experiment."""
    content = secrets.token_bytes(64)
    path = f"{ARTIFACTS}/{experiment_id}/manta-check/{secrets.token_hex(8)}"
    response = client.put(path, content=content)
    if response.status_code == httpx.codes.FORBIDDEN:
        return "The user of the stack may not write to the experiment, so the artifact store was not tried."
    if not response.is_error:
        response = client.get(path)
        client.delete(path)
    if response.is_error or response.content != content:
        raise CheckFailedError(
            f"MLflow cannot write and read its artifact store: {response.status_code}, {response.text.strip()[:300]}",
            next_step=f"Check `artifactRoot`, the bucket's rights, and `artifactSecret`. {SEE_LOG}",
        )
    return ""


def _signs_in(client: httpx.Client) -> bool:
    """Whether MLflow can begin a sign-in. False means that MLflow has a provider and cannot reach it."""
    try:
        return client.get(LOGIN).status_code != httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TimeoutException:
        return False
