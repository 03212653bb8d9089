"""The whole Pulumi program, run for a stack of the project with a small project folder and a test kubeconfig."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from infra import arguments
from infra.__main__ import main
from infra.components import network_flows
from infra.components.network_flows import Flow
from infra.config import settings
from infra.config.settings import Settings
from infra.preflight.cluster_state import ClusterState
from tests.support import engine
from tests.support.json_object import JsonObject

PROJECT = Path(__file__).parents[2]
SOURCES = {
    "images/mlflow/Dockerfile": "FROM scratch\n",
    "requirements/mlflow.txt": "mlflow==3.17.2 \\\n",
    "images/ray/Dockerfile": "FROM scratch\n",
    "requirements/app.txt": "ray==2.60.0 \\\n",
    "requirements/extras/onnx.txt": "onnxruntime==1.32.0 \\\n",
    "pyproject.toml": "[project]\n",
    "LICENSE": "Apache\n",
    "app/serving/application.py": "answer = 42\n",
}
CRDS = ("rayclusters.ray.io", "rayjobs.ray.io", "rayservices.ray.io")
SECRETS = {
    "rayToken": "supplied-ray-token-0",
    "serveToken": "supplied-serve-token",
    "mlflowPassword": "supplied-mlflow-pass",
    "mlflowClientPassword": "supplied-client-pass",
    "redisPassword": "supplied-redis-passw",
}
"""Every secret that a stack generates unless the configuration supplies it."""
SUPPLIED = SECRETS | {"postgresSecret": "", "postgresPassword": "supplied-postgres-pw"}
"""The generated secrets, and Postgres' password, which a stack never generates."""
OTHER_NAMES = {
    "namespace": "team-a",
    "rayServiceName": "scoring",
    "modelName": "Churn",
    "routePrefix": "/churn",
    "dataset": "wine",
}
SERVERS = {
    "minikube": "https://192.168.49.2:8443",
    "manta-prod": "https://prod.example.com",
    "loopback": "https://127.0.0.1:16443",
    "private": "https://10.77.0.2:6443",
}
"""API server of each context."""


@cache
def stack_file(stack: str) -> JsonObject:
    """Configuration in the file of a stack that git tracks, keys without the project's name."""
    example = PROJECT / f"Pulumi.{stack}.yaml.example"
    file = example if example.exists() else PROJECT / f"Pulumi.{stack}.yaml"
    document = yaml.safe_load(file.read_text())
    return {key.removeprefix("manta:"): value for key, value in document["config"].items()}


def config(stack: str, changes: Mapping[str, object]) -> dict[str, str]:
    """Configuration as Pulumi passes it to the program: strings, with lists and objects as JSON."""
    values = stack_file(stack) | dict(changes)
    return {f"manta:{key}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()}


def parsed(stack: str = "dev", /, **changes: object) -> Settings:
    """Settings of a stack with some keys changed."""
    return settings.parse(config(stack, changes))


def flows_of(stack: str = "dev", /, **changes: object) -> list[Flow]:
    """Flows that the network policies of a stack allow."""
    return network_flows.flows(arguments.flows(parsed(stack, **changes)))


def crd(name: str, version: str = "1") -> JsonObject:
    """A minimal CRD."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": {"chart-version": version}},
        "spec": {"group": "ray.io", "scope": "Namespaced", "names": {"plural": name.partition(".")[0]}},
    }


class Program:
    """The program with its files. A second run with the same configuration returns the first record."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        for path, text in SOURCES.items():
            self.write(path, text)
        self.write("chart/Chart.yaml", "version: 1.7.0\n")
        for name in CRDS:
            self.write(f"chart/crds/{name}.yaml", yaml.safe_dump(crd(name)))
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(kubeconfig(SERVERS))
        self.secret_data = "c2VjcmV0"  # noqa: S105 - a stand-in
        """Value in every Secret that the program reads."""
        self.cluster = ClusterState()
        """What the program finds in the cluster."""
        self._records: dict[str, engine.Record] = {}

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def deploy(self, stack: str = "dev", /, **changes: object) -> engine.Record:
        """Run the program under a stack with some keys changed."""
        key = json.dumps([stack, changes], sort_keys=True)
        if key not in self._records:
            values = config(stack, {"kuberayChart": "./chart"} | changes)
            secret = [f"manta:{name}" for name in changes]
            self._records[key] = engine.run(self._main, config=values, secret_keys=secret, answer=self._answer)
        return self._records[key]

    def crds(self, record: engine.Record) -> list[JsonObject]:
        """The CRDs that the command of a record applies."""
        command = record.resource("command:local:Command", "kuberay-operator-crds")
        document = json.loads((self.root / command.inputs["environment"]["MANTA_CRDS"]).read_text())
        items: list[JsonObject] = document["items"]
        return items

    def _main(self) -> None:
        main(settings.load(), self.root, lambda _reader, _wanted: self.cluster)

    def _answer(self, kind: str, arguments: JsonObject) -> JsonObject:
        content = kubeconfig(SERVERS, current="manta-prod")
        is_object = arguments.get("name") == "org/eks/prod"
        answers: dict[str, JsonObject] = {
            "kubernetes:helm:template": {"result": [crd(name) for name in CRDS]},
            "kubernetes:core/v1:Secret": {"data": {"password": self.secret_data}},
            "pulumi:pulumi:StackReference": {
                "name": "platform",
                "outputs": {"kubeconfig": yaml.safe_load(content) if is_object else content},
                "secretOutputNames": [],
            },
        }
        return answers[kind]


def kubeconfig(servers: Mapping[str, str], current: str = "") -> str:
    """Content of a kubeconfig with one context for each API server."""
    return yaml.safe_dump(
        {
            "current-context": current,
            "contexts": [{"name": name, "context": {"cluster": name}} for name in servers],
            "clusters": [{"name": name, "cluster": {"server": url}} for name, url in servers.items()],
        }
    )
