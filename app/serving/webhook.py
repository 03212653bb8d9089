"""Verifies that a webhook delivery was signed by MLflow with the shared secret, and recently.

The signature is computed as in `mlflow.webhooks.delivery`, which follows standardwebhooks.com.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final

from mlflow.webhooks.constants import (
    WEBHOOK_DELIVERY_ID_HEADER,
    WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_SIGNATURE_VERSION,
    WEBHOOK_TIMESTAMP_HEADER,
)
from pydantic import SecretStr

from app.errors import UnauthorizedError

TOLERANCE_S: Final = 300
"""Maximum difference between a delivery's timestamp and this machine's clock. It limits how long an attacker can replay
a recorded delivery."""


def verify(headers: Mapping[str, str], body: bytes | bytearray, *, secret: SecretStr) -> None:
    """Check the signature and the timestamp of a delivery.

    Args:
        headers: Headers of the request; the lookup ignores case.
        body: Body of the request, unchanged.
        secret: The secret that the webhook was created with.

    Raises:
        UnauthorizedError: The signature is missing or wrong, or the timestamp is too far from the current time.
    """
    delivery_id = headers.get(WEBHOOK_DELIVERY_ID_HEADER, "")
    timestamp = headers.get(WEBHOOK_TIMESTAMP_HEADER, "")
    signature = headers.get(WEBHOOK_SIGNATURE_HEADER, "")
    signed_content = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.get_secret_value().encode(), signed_content, hashlib.sha256).digest()
    expected = f"{WEBHOOK_SIGNATURE_VERSION},{base64.b64encode(digest).decode()}"
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise UnauthorizedError(
            "The delivery is not signed with this service's secret.",
            next_step="Create the webhook in MLflow with the secret in MANTA_WEBHOOK_SECRET.",
        )
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        raise UnauthorizedError(
            f"The delivery's timestamp is {timestamp}.",
            allowed=f"at most {TOLERANCE_S} s from the current time",
            next_step="Check that the clocks of MLflow's machine and of this machine agree.",
        )
