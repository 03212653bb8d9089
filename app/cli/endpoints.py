"""Addresses, credentials and model of the platform: from the environment, else from `.manta/`, else the defaults."""

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from app import names
from app.cli.state import STATE_FOLDER, TOKEN_FILE
from app.errors import ParameterError
from app.settings import Settings

ADDRESSES_FILE: Final = "platform.json"
"""File in the state folder with the addresses of the platform that was last started there."""


class Endpoints(BaseModel):
    """Addresses of a running platform, the credentials for them, the model that it serves, and what may be shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray_url: str = "http://127.0.0.1:8265"
    mlflow_url: str = "http://127.0.0.1:8989"
    serve_url: str = "http://127.0.0.1:8000"
    """Ray Serve's HTTP address, without the route prefix."""
    route_prefix: str = names.ROUTE_PREFIX
    """Path of the application's HTTP API, empty if it is the root."""
    model_name: str = ""
    """Registered model that the service serves; empty if only the environment can name it."""
    show_examples: bool = True
    """Whether a command may show rows."""
    ray_token: str = ""
    serve_token: str = ""
    mlflow_user: str = ""
    """User of MLflow; empty if MLflow has no users."""
    mlflow_password: str = ""

    @property
    def api_url(self) -> str:
        """Address of the application's HTTP API."""
        return self.serve_url.rstrip("/") + self.route_prefix

    @property
    def ray_headers(self) -> dict[str, str]:
        """Headers of a request to Ray's dashboard."""
        return _authorization(self.ray_token)

    @property
    def serve_headers(self) -> dict[str, str]:
        """Headers of a request to the application's HTTP API."""
        return _authorization(self.serve_token)

    @property
    def mlflow_auth(self) -> tuple[str, str] | None:
        """User and password of a request to MLflow, if MLflow has users."""
        return (self.mlflow_user, self.mlflow_password) if self.mlflow_user else None

    @classmethod
    def resolve(cls, settings: Settings) -> Self:
        """Take each address and credential from the environment, else from the state folder of the working directory.

        Raises:
            ParameterError: The file with the addresses is damaged.
        """
        return cls.read(STATE_FOLDER).with_environment(settings)

    def with_environment(self, settings: Settings) -> Self:
        """Replace the addresses and credentials that the environment holds."""
        serve_url, route_prefix = split_api_url(settings.serve_url) if settings.serve_url else ("", "")
        from_environment = {
            "ray_url": settings.ray_dashboard_url,
            "mlflow_url": settings.mlflow_tracking_uri if is_mlflow_set(settings) else "",
            "serve_url": serve_url,
            "route_prefix": route_prefix or (names.ROUTE_PREFIX if serve_url else ""),
            "ray_token": settings.ray_token.get_secret_value() if settings.ray_token else "",
            "serve_token": settings.serve_token.get_secret_value() if settings.serve_token else "",
            "mlflow_user": settings.mlflow_user,
            "mlflow_password": settings.mlflow_password.get_secret_value(),
        }
        return self.model_copy(update={field: value for field, value in from_environment.items() if value})

    @classmethod
    def read(cls, state_folder: Path) -> Self:
        """Read the addresses and the token of the platform that was last started with a state folder.

        Without such a platform the result holds the default ports.

        Raises:
            ParameterError: The file with the addresses is damaged.
        """
        addresses_file, token_file = state_folder / ADDRESSES_FILE, state_folder / TOKEN_FILE
        token = token_file.read_text().strip() if token_file.exists() else ""
        try:
            endpoints = cls.model_validate_json(addresses_file.read_bytes()) if addresses_file.exists() else cls()
        except ValidationError as error:
            raise ParameterError(
                f"{addresses_file} cannot be read.",
                next_step="Delete this file and start the platform again: `manta local`.",
            ) from error
        return endpoints.model_copy(update={"ray_token": token, "serve_token": token})

    def write(self, state_folder: Path) -> None:
        """Save all but the credentials for later commands. The route prefix of this platform is always the default."""
        saved = {"ray_url", "mlflow_url", "serve_url", "model_name", "show_examples"}
        addresses = self.model_dump_json(include=saved, indent=2)
        (state_folder / ADDRESSES_FILE).write_text(addresses + "\n")


def split_api_url(url: str) -> tuple[str, str]:
    """Split the address of the HTTP API into the address of Ray Serve and the route prefix, which may be empty."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")


def is_mlflow_set(settings: Settings) -> bool:
    """Whether the environment names MLflow."""
    return "mlflow_tracking_uri" in settings.model_fields_set


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
