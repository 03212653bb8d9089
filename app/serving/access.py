"""Which requests are accepted: bearer tokens of clients, and the secret of MLflow's webhook."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from app.errors import UnauthorizedError


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """What a request must contain to be accepted."""

    tokens: Sequence[SecretStr]
    """Bearer tokens that `/model/load` accepts. Several are listed while a token is being replaced. Empty: no token is
    required."""
    predict_needs_token: bool
    """Whether `/predict` requires one of the tokens too."""
    webhook_secret: SecretStr | None
    """Secret that MLflow signs webhook deliveries with. None: `/model/webhook` does not exist."""


def bearer_token_check(tokens: Sequence[SecretStr]) -> Callable[..., None]:
    """Build a FastAPI dependency that requires one of the tokens. The comparison takes constant time."""
    accepted_tokens = [token.get_secret_value().encode() for token in tokens]
    scheme = HTTPBearer(auto_error=False, description="The stack output `serveToken`.")

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        request_token = credentials.credentials.encode() if credentials else b""
        matches = [secrets.compare_digest(request_token, token) for token in accepted_tokens]
        if not any(matches):
            raise UnauthorizedError(
                "The bearer token is not accepted." if credentials else "The request has no bearer token.",
                next_step="Send the header `Authorization: Bearer TOKEN`. The token is the stack output serveToken.",
            )

    return check
