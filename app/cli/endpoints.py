"""Addresses and tokens of the platform: from the environment, else from `.manta/`, else the default ports."""

from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app import names
from app.cli.state import STATE_FOLDER, TOKEN_FILE
from app.errors import ParameterError
from app.settings import Settings

ADDRESSES_FILE: Final = "platform.json"
"""File in the state folder with the addresses of the platform that was last started there."""


class Endpoints(BaseModel):
    """Addresses of a running platform, and the bearer tokens for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray_url: str = "http://127.0.0.1:8265"
    mlflow_url: str = "http://127.0.0.1:8989"
    serve_url: str = "http://127.0.0.1:8000"
    """Ray Serve's HTTP address, without the route prefix."""
    ray_token: str = ""
    serve_token: str = ""

    @property
    def api_url(self) -> str:
        """Address of the application's HTTP API."""
        return self.serve_url.rstrip("/") + names.ROUTE_PREFIX

    @property
    def ray_headers(self) -> dict[str, str]:
        """Headers of a request to Ray's dashboard."""
        return _authorization(self.ray_token)

    @property
    def serve_headers(self) -> dict[str, str]:
        """Headers of a request to the application's HTTP API."""
        return _authorization(self.serve_token)

    @classmethod
    def resolve(cls, settings: Settings) -> Self:
        """Take each address and token from the environment, else from the state folder of the working directory.

        Raises:
            ParameterError: The file with the addresses is damaged.
        """
        has_mlflow_url = "mlflow_tracking_uri" in settings.model_fields_set
        from_environment = {
            "ray_url": settings.ray_dashboard_url,
            "mlflow_url": settings.mlflow_tracking_uri if has_mlflow_url else "",
            "serve_url": settings.serve_url,
            "ray_token": settings.ray_token.get_secret_value() if settings.ray_token else "",
            "serve_token": settings.serve_token.get_secret_value() if settings.serve_token else "",
        }
        overrides = {field: value for field, value in from_environment.items() if value}
        return cls.read(STATE_FOLDER).model_copy(update=overrides)

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
        """Save the addresses for later commands; the tokens are not saved."""
        addresses = self.model_dump_json(exclude={"ray_token", "serve_token"}, indent=2)
        (state_folder / ADDRESSES_FILE).write_text(addresses + "\n")


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
