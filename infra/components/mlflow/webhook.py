"""What MLflow needs to call the webhook of the service inside of the cluster."""

import base64
import hashlib
from typing import Final

import pulumi

from infra import labels, names
from infra.config.options import NO_SECRET
from infra.credentials import SecretReference, kubernetes_secret, secret_value

ENVIRONMENT: Final = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    # The address of a Service is private. Network policies let MLflow reach no other private address on this port.
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
}
"""By default MLflow calls public https addresses only."""


def register(name: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> SecretReference:
    """Register the Secret with the key that encrypts the secrets of webhooks in MLflow's database.

    Without the key, each start of the server generates another one and can read no webhook that was stored before.
    """
    password = secret_value(f"{name}-webhook-key", NO_SECRET, opts)
    return kubernetes_secret(
        f"{name}-webhook",
        names.WEBHOOK_SECRET,
        namespace=namespace,
        component=labels.MLFLOW,
        content={"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": password.apply(fernet_key)},
        opts=opts,
    )


def fernet_key(password: str) -> str:
    """Key of Fernet from a random password: <https://cryptography.io/en/latest/fernet/>."""
    return base64.urlsafe_b64encode(hashlib.sha256(password.encode()).digest()).decode()
