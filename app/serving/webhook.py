"""MLflow's webhooks: whether a delivery was signed with our secret, and not long ago.

What is signed, and how, is MLflow's `mlflow.webhooks.delivery`, after standardwebhooks.com.
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
"""How old a delivery may be, or how far ahead MLflow's clock: an old one may have been recorded and sent again."""


def verify(headers: Mapping[str, str], body: bytes, *, secret: SecretStr) -> None:
    """Refuse a delivery that MLflow did not sign.

    Args:
        headers: Of the request, by names in any case.
        body: Of the request, as it came.
        secret: What the webhook was made with.

    Raises:
        UnauthorizedError: The signature is missing or another one, or the delivery is too old.
    """
    delivery_id = headers.get(WEBHOOK_DELIVERY_ID_HEADER, "")
    timestamp = headers.get(WEBHOOK_TIMESTAMP_HEADER, "")
    given = headers.get(WEBHOOK_SIGNATURE_HEADER, "")
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).digest()
    expected = f"{WEBHOOK_SIGNATURE_VERSION},{base64.b64encode(digest).decode()}"
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise UnauthorizedError(
            "The delivery is not signed with this service's secret.",
            next_step="Make the webhook in MLflow with the secret of MANTA_WEBHOOK_SECRET.",
        )
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        raise UnauthorizedError(
            f"The delivery is of the time {timestamp}.",
            allowed=f"up to {TOLERANCE_S} s from now",
            next_step="Check the clocks of MLflow's machine and this one.",
        )
