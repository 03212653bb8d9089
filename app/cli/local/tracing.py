"""Where the service of the local platform sends traces."""

import re
from typing import Final

from app import names
from app.errors import ParameterError

HELP: Final = "Receiver of traces: the platform's own MLflow, or an OTLP receiver such as http://127.0.0.1:4318."
"""Help of the option of `manta local`."""


def check(endpoint: str) -> str:
    """Return a value of `MANTA_OTLP_ENDPOINT`.

    Raises:
        ParameterError: Traces cannot be sent there.
    """
    if re.fullmatch(names.OTLP_ENDPOINT_PATTERN, endpoint) is None:
        raise ParameterError(
            f"Traces cannot be sent to {endpoint!r}.",
            allowed="mlflow, or http(s)://HOST[:PORT][/PATH] of an OTLP receiver over HTTP",
        )
    return endpoint


def environment(endpoint: str, percent: int) -> dict[str, str]:
    """Environment variables of the service; none without an endpoint.

    Args:
        endpoint: See `check`.
        percent: Percentage of the predictions that are traced.
    """
    return {"MANTA_OTLP_ENDPOINT": endpoint, "MANTA_TRACE_SHARE": str(percent / 100)} if endpoint else {}
