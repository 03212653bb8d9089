"""Sign-in to MLflow with a provider over TLS: people by their groups, and the pods by the passwords of the stack."""

from collections.abc import Iterator

import httpx
import pytest
from mlflow import MlflowClient
from pydantic import SecretStr

from app.dependencies import mlflow_check
from app.dependencies.result import Status
from tests.support.json_object import JsonObject
from tests.support.redis_server import create_certificates
from tests.support.sign_in import OidcMlflow, browser, provider, sign_in

ADMIN, CLIENT = "the-password-of-the-admin", "the-password-of-the-pods"
CLIENT_NAME = "ray-00000001"
PEOPLE: dict[str, JsonObject] = {
    "ada": {"email": "ada@example.com", "name": "Ada", "groups": ["ml"]},
    "grace": {"email": "grace@example.com", "name": "Grace", "groups": ["ml-admins"]},
    "eve": {"email": "eve@example.com", "name": "Eve", "groups": ["sales"]},
    "mallory": {"preferred_username": "admin", "name": "Mallory", "groups": ["ml"]},
}
EXPERIMENTS = "/api/2.0/mlflow/experiments"
SEARCH = f"{EXPERIMENTS}/search?max_results=10"


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcMlflow]:
    """MLflow's files with both users, and a provider that runs."""
    folder = tmp_path_factory.mktemp("sign-in")
    certificate = create_certificates(folder, "localhost")
    with provider(folder, certificate, PEOPLE) as discovery_url:
        server = OidcMlflow(
            folder=folder,
            discovery_url=discovery_url,
            certificate=certificate,
            groups="ml",
            admin_groups="ml-admins",
        )
        server.set_users(admin=ADMIN, client=CLIENT, client_name=CLIENT_NAME)
        yield server


@pytest.fixture(scope="module")
def url(mlflow: OidcMlflow) -> Iterator[str]:
    with mlflow.running() as address:
        yield address


@pytest.fixture
def client(mlflow: OidcMlflow, url: str) -> Iterator[httpx.Client]:
    with browser(url, mlflow.certificate) as client:
        yield client


def status(url: str, user: str, password: str) -> int:
    """Status of a request with a name and a password."""
    return httpx.get(f"{url}{SEARCH}", auth=(user, password), timeout=60).status_code


def change_experiment(client: httpx.Client, experiment_id: str) -> int:
    """Status of a request that sets a tag of an experiment."""
    body = {"experiment_id": experiment_id, "key": "changed", "value": "yes"}
    return client.post(f"{EXPERIMENTS}/set-experiment-tag", json=body).status_code


def test_without_a_sign_in_only_the_probes_are_answered(url: str) -> None:
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}{SEARCH}").status_code == 401
    assert httpx.get(f"{url}/ajax-api/2.0/mlflow/experiments/search?max_results=10").status_code == 401
    assert httpx.get(f"{url}/graphql").status_code == 401


def test_a_member_of_a_group_reads_everything_and_changes_own_experiments_only(client: httpx.Client) -> None:
    page = sign_in(client, "ada")

    assert (page.status_code, page.url.path) == (200, "/")
    assert "MLflow" in page.text
    assert {client.get(SEARCH).status_code for _ in range(10)} == {200}  # each server process knows the session
    assert change_experiment(client, "0") == 403
    created = client.post(f"{EXPERIMENTS}/create", json={"name": "of ada"}).json()["experiment_id"]
    assert change_experiment(client, created) == 200


def test_a_member_of_an_admin_group_changes_everything(client: httpx.Client) -> None:
    sign_in(client, "grace")

    assert change_experiment(client, "0") == 200


@pytest.mark.parametrize(
    ("account", "reason"),
    [("eve", "User is not allowed to login"), ("mallory", "This account cannot be used to sign in here")],
)
def test_somebody_outside_of_the_groups_or_with_the_name_of_the_administrator_is_refused(
    client: httpx.Client, account: str, reason: str
) -> None:
    page = sign_in(client, account)

    assert page.url.params["error"] == reason
    assert client.get(SEARCH).status_code == 401


def test_a_training_of_the_pods_records_a_run_and_moves_an_alias(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", CLIENT_NAME)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CLIENT)
    registry = MlflowClient(tracking_uri=url)

    run = registry.create_run(registry.create_experiment("of the pods"))
    registry.log_metric(run.info.run_id, "accuracy", 0.9)
    registry.log_text(run.info.run_id, "a model", "model/text.txt")
    registry.create_registered_model("Churn")
    version = registry.create_model_version("Churn", f"runs:/{run.info.run_id}/model", run.info.run_id)
    registry.set_registered_model_alias("Churn", "champion", version.version)

    assert registry.get_model_version_by_alias("Churn", "champion").run_id == run.info.run_id
    assert status(url, CLIENT_NAME, "another-password-of-the-pods") == 401


def test_the_check_of_the_dependencies_passes(url: str) -> None:
    result = mlflow_check.check(url, user=CLIENT_NAME, password=SecretStr(CLIENT), experiment="manta")

    assert result.status is Status.OK, result


def test_changed_passwords_and_the_sessions_of_people_outlive_a_restart(mlflow: OidcMlflow) -> None:
    with mlflow.running() as url, browser(url, mlflow.certificate) as client:
        sign_in(client, "ada")
        cookies = dict(client.cookies)
    new_name, new_client, new_admin = "ray-00000002", "the-new-password-of-the-pods", "the-new-password-of-the-admin"
    mlflow.set_users(admin=new_admin, client=new_client, client_name=new_name)

    with mlflow.running() as url:
        before = [status(url, *user) for user in ((CLIENT_NAME, CLIENT), (new_name, new_client), ("admin", new_admin))]
        mlflow.remove_user(CLIENT_NAME)
        after = [status(url, *user) for user in ((CLIENT_NAME, CLIENT), (new_name, new_client), ("admin", ADMIN))]
        session = httpx.get(f"{url}{SEARCH}", cookies=cookies, timeout=60).status_code
    mlflow.set_users(admin=ADMIN, client=CLIENT, client_name=CLIENT_NAME)

    assert before == [200, 200, 200]
    assert after == [401, 200, 401]
    assert session == 200


def test_a_provider_that_is_away_stops_no_training_and_the_check_names_it(mlflow: OidcMlflow) -> None:
    (mlflow.folder / "alone").mkdir()
    alone = OidcMlflow(
        folder=mlflow.folder / "alone",
        discovery_url="https://localhost:1/.well-known/openid-configuration",
        certificate=mlflow.certificate,
        groups="ml",
        admin_groups="ml-admins",
    )
    alone.set_users(admin=ADMIN, client=CLIENT, client_name=CLIENT_NAME)

    with alone.running() as url:
        result = mlflow_check.check(url, user=CLIENT_NAME, password=SecretStr(CLIENT), experiment="manta")

    assert result.status is Status.WARNING
    assert "MLflow does not reach the provider of `mlflowOidc`" in result.detail
    assert "kubectl logs deployment/mlflow" in result.next_step
