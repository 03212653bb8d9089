"""Which requests are accepted: bearer tokens of clients, and the secret of MLflow's webhook."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from pydantic import SecretStr

from app.errors import UnauthorizedError
from app.serving.requests.row_errors import shortened
from app.setting_values import PredictToken

PREDICTION_SCHEME: Final = HTTPBearer(auto_error=False, description="A token for predictions.")
"""How a prediction that requires a token sends it."""


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """What a request must contain to be accepted."""

    tokens: Sequence[SecretStr]
    """Bearer tokens that `/model/load` accepts. Several are listed while a token is being replaced. Empty: no token is
    required."""
    predict_needs_token: bool
    """Whether predictions require a token too: one of `tokens` or of `predict_tokens`."""
    show_examples: bool
    """Whether who may predict is shown example rows and their labels."""
    webhook_secret: SecretStr | None
    """Secret that MLflow signs webhook deliveries with. None: `/model/webhook` does not exist."""
    predict_tokens: Sequence[PredictToken] = ()
    """Bearer tokens that predictions accept, and nothing else."""

    @property
    def prediction_security(self) -> list[Dependency]:
        """What lets the OpenAPI document say that a prediction requires a token. `check_prediction` checks it."""
        return [Depends(PREDICTION_SCHEME)] if self.predict_needs_token else []

    def shows_examples_to(self, headers: Mapping[str, str], model: str) -> bool:
        """Whether a request with these headers is shown examples: only if it might also ask for a prediction."""
        return self.show_examples and self._may_predict(headers, model)

    def check_prediction(self, headers: Mapping[str, str], model: str) -> None:
        """Check that a request with these headers may ask a model for predictions.

        Raises:
            UnauthorizedError: It has no token that is accepted for this model.
        """
        if self._may_predict(headers, model):
            return
        raise UnauthorizedError(
            f"The request has no bearer token that is accepted for predictions of {shortened(model)!r}.",
            next_step="Send the header `Authorization: Bearer TOKEN`, with a token for predictions or for loads.",
        )

    def _may_predict(self, headers: Mapping[str, str], model: str) -> bool:
        if not self.predict_needs_token:
            return True
        scheme, token = get_authorization_scheme_param(headers.get("authorization"))
        allowed = [other.token for other in self.predict_tokens if other.model in ("", model)]
        return scheme.lower() == "bearer" and _is_accepted(token, [*self.tokens, *allowed])


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
