import time

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature
from pydantic import SecretStr

from app.errors import UnauthorizedError
from app.serving import webhook

SECRET = SecretStr("ours")
BODY = '{"entity": "model_version_alias"}'


def headers(secret: str = SECRET.get_secret_value(), *, age_s: int = 0, body: str = BODY) -> dict[str, str]:
    sent_at = str(int(time.time()) - age_s)
    return {
        "X-MLflow-Delivery-Id": "7",
        "X-MLflow-Timestamp": sent_at,
        "X-MLflow-Signature": _generate_hmac_signature(secret, "7", sent_at, body),
    }


def test_a_delivery_signed_by_mlflow_is_accepted() -> None:
    webhook.verify(headers(), BODY.encode(), secret=SECRET)


@pytest.mark.parametrize(
    "request_headers",
    [
        {},
        headers("another"),
        headers(body="{}"),
        headers(age_s=webhook.TOLERANCE_S + 3600),
        headers(age_s=-webhook.TOLERANCE_S - 3600),
        headers() | {"X-MLflow-Signature": "v1,é"},
        headers() | {"X-MLflow-Timestamp": "²"},
    ],
    ids=["no headers", "other secret", "other body", "too old", "too early", "not ASCII", "not a number"],
)
def test_a_delivery_without_a_valid_recent_signature_is_refused(request_headers: dict[str, str]) -> None:
    with pytest.raises(UnauthorizedError):
        webhook.verify(request_headers, BODY.encode(), secret=SECRET)
