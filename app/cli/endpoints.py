"""Where a command finds the platform: the environment first, then `.manta/`, then the default ports."""

from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app import names
from app.cli.state import STATE, TOKEN_FILE
from app.errors import ParameterError
from app.settings import Settings

ADDRESSES_FILE: Final = "platform.json"
"""File in `STATE` that holds the addresses of the platform that was last started there."""


class Target(BaseModel):
    """Addresses of a running platform, and the tokens that open it."""

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
        return _bearer(self.ray_token)

    @property
    def serve_headers(self) -> dict[str, str]:
        """Headers of a request to the application's HTTP API."""
        return _bearer(self.serve_token)

    @classmethod
    def find(cls, configured: Settings) -> Self:
        """The platform that the environment names; what it leaves open is as last started in this folder.

        Raises:
            ParameterError: The state in this folder cannot be read.
        """
        told = {
            "ray_url": configured.ray_dashboard_url,
            "mlflow_url": configured.mlflow_tracking_uri
            if "mlflow_tracking_uri" in configured.model_fields_set
            else "",
            "serve_url": configured.serve_url,
            "ray_token": configured.ray_token.get_secret_value() if configured.ray_token else "",
            "serve_token": configured.serve_token.get_secret_value() if configured.serve_token else "",
        }
        return cls.read(STATE).model_copy(update={name: value for name, value in told.items() if value})

    @classmethod
    def read(cls, state: Path) -> Self:
        """The platform that was last started with this folder as its state; the default ports if there was none."""
        addresses, token = state / ADDRESSES_FILE, state / TOKEN_FILE
        secret = token.read_text().strip() if token.exists() else ""
        try:
            found = cls.model_validate_json(addresses.read_bytes()) if addresses.exists() else cls()
        except ValidationError as error:
            raise ParameterError(
                f"{addresses} cannot be read.", next_step="Remove it, and start the platform again: manta local."
            ) from error
        return found.model_copy(update={"ray_token": secret, "serve_token": secret})

    def write(self, state: Path) -> None:
        """Remember the addresses, without the tokens, for the commands that come after."""
        addresses = self.model_dump_json(exclude={"ray_token", "serve_token"}, indent=2)
        (state / ADDRESSES_FILE).write_text(addresses + "\n")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
