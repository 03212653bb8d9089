"""Which requests are accepted: bearer tokens of clients, and the secret of MLflow's webhook."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
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
    show_examples: bool
    """Whether who may predict is shown example rows and their labels."""
    webhook_secret: SecretStr | None
    """Secret that MLflow signs webhook deliveries with. None: `/model/webhook` does not exist."""

    def shows_examples_to(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers is shown examples: only if it might also ask for a prediction."""
        if not self.show_examples or not self.predict_needs_token:
            return self.show_examples
        scheme, token = get_authorization_scheme_param(headers.get("authorization"))
        return scheme.lower() == "bearer" and _is_accepted(token, self.tokens)


def bearer_token_check(tokens: Sequence[SecretStr]) -> Callable[..., None]:
    """Build a FastAPI dependency that requires one of the tokens."""
    scheme = HTTPBearer(auto_error=False, description="The stack output `serveToken`.")

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        if not _is_accepted(credentials.credentials if credentials else "", tokens):
            raise UnauthorizedError(
                "The bearer token is not accepted." if credentials else "The request has no bearer token.",
                next_step="Send the header `Authorization: Bearer TOKEN`. The token is the stack output serveToken.",
            )

    return check


def _is_accepted(token: str, accepted_tokens: Sequence[SecretStr]) -> bool:
    """Whether a token is one of those that are accepted. The comparison takes constant time."""
    content = token.encode()
    matches = [secrets.compare_digest(content, other.get_secret_value().encode()) for other in accepted_tokens]
    return any(matches)
