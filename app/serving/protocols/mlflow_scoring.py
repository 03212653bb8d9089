"""The messages of MLflow's scoring protocol, which `mlflow models serve` speaks.

`app.serving.protocols.mlflow_paths` has the paths. The answers are those of the model's `predict`.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.errors import MantaError
from app.models.answers import Answers
from app.serving.loading.served_model import ServedModel
from app.serving.protocols.rows import encode_list
from app.serving.protocols.wire import Exchange, Wire
from app.serving.requests import body, csv_rows, dataframe_rows
from app.serving.requests.body_forms import BodyForm, Form

INVOCATIONS: Final = "/invocations"
PING: Final = "/ping"
HEALTH: Final = "/health"
VERSION: Final = "/version"

PATHS: Final = frozenset({INVOCATIONS, PING, HEALTH, VERSION})
"""The paths of the protocol."""

CSV: Final = "text/csv"

ERROR_CODES: Final = {
    401: "UNAUTHENTICATED",
    404: "RESOURCE_DOES_NOT_EXIST",
    500: "INTERNAL_ERROR",
    502: "TEMPORARILY_UNAVAILABLE",
    503: "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's error code for the status of an answer. Every other status has `BAD_REQUEST`."""

BAD_REQUEST: Final = "BAD_REQUEST"


def _write(answers: Answers, _: ServedModel) -> Response:
    content = b'{"predictions": ' + b"".join(encode_list(answers.predictions)) + b"}"
    return Response(content, media_type=body.JSON)


JSON_EXCHANGE: Final = Exchange(form=BodyForm(Form.DATAFRAME), read=dataframe_rows.read, write=_write)
CSV_EXCHANGE: Final = Exchange(form=BodyForm(Form.CSV), read=csv_rows.read, write=_write)


def _begin(_: Request, __: bytes | bytearray, content_type: str, ___: ServedModel) -> Exchange:
    return CSV_EXCHANGE if content_type == CSV else JSON_EXCHANGE


WIRE: Final = Wire(content_types=(body.JSON, CSV), begin=_begin)


def error_content(error: MantaError, status: int) -> dict[str, object]:
    """Build the JSON of an error."""
    return {"error_code": ERROR_CODES.get(status, BAD_REQUEST), "message": str(error)}
