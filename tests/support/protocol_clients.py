"""Sends the same rows with the clients of KServe and Triton, and prints what they got as JSON.

The program runs in an environment of its own, `.venv/clients`, so it imports nothing of the project. Its argument is
JSON: the URL of the service, the name of the model, rows of numbers, and a name that no model has.
"""

import asyncio
import json
import sys
from typing import Any

import kserve
import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient
from kserve.inference_client import RESTConfig
from tritonclient.utils import InferenceServerException


async def with_kserve(url: str, model: str, rows: np.ndarray, unknown: str) -> dict[str, Any]:
    """Use KServe's client: JSON and binary tensors, health, and an unknown model."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    results: dict[str, Any] = {
        "is_live": await client.is_server_live(url),
        "is_ready": await client.is_server_ready(url),
        "is_model_ready": await client.is_model_ready(url, model),
    }
    for name, is_binary in (("json", False), ("binary", True)):
        tensor = kserve.InferInput("rows", list(rows.shape), "FP64")
        tensor.set_data_from_numpy(rows, binary_data=is_binary)
        parameters = {"binary_data_output": True} if is_binary else {}
        request = kserve.InferRequest(model, [tensor], request_id="42", parameters=parameters)
        response = await client.infer(url, request, model_name=model)
        results[name] = {output.name: output.as_numpy().tolist() for output in response.outputs}
        results |= {"model_version": response.model_version, "id": response.id}
    try:
        await client.infer(url, request, model_name=unknown)
    except Exception as error:  # noqa: BLE001 - the test reads it
        results["error"] = f"{type(error).__name__}: {error}"
    await client.close()
    return results


def with_triton(url: str, model: str, rows: np.ndarray, unknown: str) -> dict[str, Any]:
    """Use Triton's client: JSON and binary tensors, one input a column, metadata, and an unknown model."""
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    metadata = client.get_model_metadata(model)
    results: dict[str, Any] = {
        "is_live": client.is_server_live(),
        "is_ready": client.is_server_ready(),
        "is_model_ready": client.is_model_ready(model),
        "server": client.get_server_metadata()["name"],
        "inputs": [one["name"] for one in metadata["inputs"]],
        "outputs": [one["name"] for one in metadata["outputs"]],
    }
    for name, is_binary in (("json", False), ("binary", True)):
        tensor = triton.InferInput("rows", rows.shape, "FP64")
        tensor.set_data_from_numpy(rows, binary_data=is_binary)
        outputs = [triton.InferRequestedOutput(one, binary_data=is_binary) for one in results["outputs"]]
        response = client.infer(model, [tensor], outputs=outputs, request_id="42")
        results[name] = {one: response.as_numpy(one).tolist() for one in results["outputs"]}
        results["id"] = response.get_response()["id"]
    columns = []
    for index, name in enumerate(results["inputs"]):
        column = triton.InferInput(name, [len(rows), 1], "FP64")
        column.set_data_from_numpy(np.ascontiguousarray(rows[:, index : index + 1]))
        columns.append(column)
    response = client.infer(model, columns)
    results["columns"] = {one: response.as_numpy(one).tolist() for one in results["outputs"]}
    try:
        client.infer(unknown, columns)
    except InferenceServerException as error:
        results["error"] = f"{error.status()}: {error.message()}"
    client.close()
    return results


def main() -> None:
    """Use both clients."""
    url, model, rows, unknown = json.loads(sys.argv[1])
    array = np.array(rows)
    results = {
        "kserve": asyncio.run(with_kserve(url, model, array, unknown)),
        "triton": with_triton(url, model, array, unknown),
    }
    print(json.dumps(results, default=lambda value: value.decode()))  # noqa: T201 - read by the test


if __name__ == "__main__":
    main()
