"""Traces of a running platform in its own MLflow."""

import secrets

import httpx
from mlflow import MlflowClient
from mlflow.entities import Trace
from mlflow.exceptions import MlflowException

from tests.support.local import LocalFolder
from tests.support.waiting import wait_until


def test_mlflow_shows_the_trace_of_a_prediction_that_a_client_traces(api: httpx.Client, local: LocalFolder) -> None:
    trace_id = secrets.token_hex(16)
    row = api.get("model").json()["example"]["features"][:1]

    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01", "x-request-id": "traced"}
    answer = api.post("predict", json={"features": row}, headers=headers).raise_for_status().json()

    registry = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    traces: list[Trace] = []

    def arrived() -> bool:
        try:
            traces[:] = [registry.get_trace(f"tr-{trace_id}", display=False)]
        except MlflowException:
            return False
        return len(traces[0].data.spans) > 1

    wait_until(arrived, what="the trace in MLflow")
    spans = {span.name: span.attributes for span in traces[0].data.spans}
    assert set(spans) == {"prediction", "receive the body", "wait for the version", "read the rows", "predict"}
    assert spans["prediction"]["manta.request_id"] == "traced"
    assert spans["prediction"]["manta.version"] == answer["model_version"]
