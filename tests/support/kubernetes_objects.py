"""Objects as the API server returns them."""

from tests.support.json_object import JsonObject


def operator(*arguments: str, namespace: str = "kuberay-system", tag: str = "v1.7.0") -> JsonObject:
    """Deployment of a KubeRay operator."""
    container = {"image": f"quay.io/kuberay/operator:{tag}", "args": list(arguments)}
    return {
        "metadata": {"name": "kuberay-operator", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
