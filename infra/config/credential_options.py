"""Credentials of the service, besides the tokens that every stack has."""

from pydantic import Field

from infra.config.options import NO_SECRET, OptionGroup
from infra.config.vocabulary import Secret


class CredentialOptions(OptionGroup):
    """Further credentials of the service."""

    mlflow_client_password: Secret = Field(
        NO_SECRET,
        description="Password of the MLflow user of Ray's pods. Another password makes another user. Empty: generated.",
    )
    previous_serve_token: Secret = Field(
        NO_SECRET,
        description="Second token that the service accepts beside `serveToken`, while clients change to the new one.",
    )
    predict_needs_token: bool = Field(
        default=False, description="Whether predictions need a token too, not only changes of the model."
    )
    webhook_secret: Secret = Field(
        NO_SECRET,
        description="Secret of a webhook in MLflow that tells the service about a moved alias. Empty: the service asks "
        "MLflow every few seconds.",
    )
