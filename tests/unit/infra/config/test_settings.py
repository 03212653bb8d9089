"""The configuration: accepted values, refused values, and the commands in the error messages."""

import re
import shlex

import pytest
from pydantic import ValidationError

from infra.config import settings
from infra.config.settings import SettingsError
from tests.support.program import config, parsed

REFUSED: list[tuple[str, dict[str, object], str]] = [
    # stack, changes, part of the command in the error message
    ("dev", {"cpus": 0}, "pulumi config set cpus 1"),
    ("dev", {"cpus": "many"}, "pulumi config set cpus 1"),
    ("dev", {"memory": "2GB"}, "pulumi config set memory 2Gi"),
    ("dev", {"memory": "0"}, "pulumi config set memory 2Gi"),
    ("dev", {"memory": "512Mi"}, "pulumi config set memory 1536Mi"),
    ("dev", {"headMemory": "512Mi"}, "pulumi config set headMemory 1Gi"),
    ("dev", {"mlflowMemory": "256Mi"}, "pulumi config set mlflowMemory 768Mi"),
    ("dev", {"memory": "9Ei"}, "pulumi config set memory 2Gi"),
    ("dev", {"headCpus": "half"}, "pulumi config set headCpus 1"),
    ("dev", {"headCpus": "900m"}, "pulumi config set headCpus 1"),
    ("dev", {"replicas": 3}, "pulumi config set maxWorkers 3"),
    ("dev", {"minWorkers": 3}, "pulumi config set maxWorkers 3"),
    ("dev", {"gpus": -1}, "pulumi config set gpus 0"),
    ("dev", {"target": "laptop"}, "pulumi config set target minikube"),
    ("dev", {"context": ""}, "pulumi config set context minikube"),
    ("dev", {"clusterStack": "o/p/s"}, "pulumi config set target cloud"),
    ("prod", {"clusterStack": "o/p/s", "kubeconfig": "x: y"}, "pulumi config rm kubeconfig"),
    ("dev", {"namespace": "Manta_1"}, "pulumi config set namespace manta"),
    ("dev", {"namespace": "n" * 60}, "pulumi config set namespace manta"),
    ("dev", {"rayServiceName": "r" * 48}, "pulumi config set rayServiceName manta"),
    ("dev", {"rayServiceName": "1ray"}, "pulumi config set rayServiceName manta"),
    ("dev", {"imageBuilder": "prebuilt"}, "pulumi config set image "),
    ("dev", {"imageBuilder": "docker"}, "pulumi config set registry "),
    ("dev", {"imageBuilder": "command"}, "pulumi config set buildCommand "),
    ("dev", {"image": "Not An Image"}, "pulumi config set image "),
    ("prod", {"imageBuilder": "minikube"}, "pulumi config set imageBuilder docker"),
    ("dev", {"mlflowReplicas": 2}, "pulumi config set mlflowBackend postgres"),
    ("dev", {"mlflowReplicas": 2}, "pulumi config set artifactRoot s3://"),
    ("dev", {"artifactRoot": "ftp://files"}, "pulumi config set artifactRoot s3://"),
    ("prod", {"postgresHost": ""}, "pulumi config set postgresHost "),
    ("prod", {"postgresSecret": ""}, "pulumi config set --secret postgresPassword"),
    ("prod", {"postgresAuthDatabase": "mlflow"}, "pulumi config set postgresAuthDatabase mlflow_auth"),
    ("dev", {"redis": "external"}, "pulumi config set redisAddress "),
    ("dev", {"redisAddress": "redis.example.com"}, "pulumi config set redisAddress "),
    ("prod", {"host": ""}, "pulumi config set host "),
    ("prod", {"tls": ""}, "pulumi config set tls "),
    ("dev", {"access": "nodePort"}, "pulumi config set host "),
    ("dev", {"routePrefix": "api"}, "pulumi config set routePrefix /fastapi_app"),
    ("dev", {"modelName": "no/slash"}, "pulumi config set modelName RandomForestClassifierModel"),
    ("dev", {"rayToken": "short"}, "pulumi config set --secret rayToken "),
    ("dev", {"mlflowPassword": "with a space in it"}, "pulumi config set --secret mlflowPassword "),
    ("dev", {"localContexts": "minikube"}, "pulumi config rm localContexts"),
    ("dev", {"imageExtras": ["torch"]}, "pulumi config set --path 'imageExtras[0]' xgboost"),
    ("dev", {"dnsCidrs": ["10.0.0.1/8"]}, "pulumi config set --path 'dnsCidrs[0]' 169.254.20.10/32"),
    ("dev", {"extraEgress": [{"ports": [9000]}]}, "pulumi config set --path 'extraEgress[0].cidr' 10.1.2.0/24"),
    (
        "dev",
        {"extraEgress": [{"cidr": "10.0.0.0/8", "from": []}]},
        "pulumi config set --path 'extraEgress[0].from[0]' ray",
    ),
    ("dev", {"extraEgress": [{"cidr": "10.0.0.0/8", "port": 1}]}, "pulumi config rm extraEgress"),
    ("dev", {"proxy": {"https": "proxy:3128"}}, "pulumi config set --path proxy.https http://proxy.example.com:3128"),
    ("dev", {"proxy": {"http": "http://user:word@proxy:3128"}}, "pulumi config set --path proxy.https "),
    ("dev", {"proxy": {"http": "http://proxy:99999"}}, "pulumi config set --path proxy.https "),
    ("dev", {"prometheusUrl": "http://prometheus:99999"}, "pulumi config set prometheusUrl "),
    ("dev", {"otlpEndpoint": "http://collector:99999"}, "pulumi config set otlpEndpoint "),
    ("dev", {"trainSchedule": "every night"}, "pulumi config set trainSchedule '0 3 * * *'"),
    ("dev", {"trainOptions": '--data "x'}, "pulumi config set trainOptions -- '--trees 200'"),
    ("dev", {"trainDeadlineMinutes": 0}, "pulumi config set trainDeadlineMinutes 60"),
    ("dev", {"cpu": 2}, "pulumi config rm cpu"),
]


@pytest.mark.parametrize(("stack", "changes", "command"), REFUSED)
def test_a_refusal_names_the_key_and_the_command_that_corrects_it(
    stack: str, changes: dict[str, object], command: str
) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(stack, **changes)

    assert command in str(error.value)
    assert "manta:" in str(error.value)


def test_every_command_in_a_message_is_a_pulumi_command() -> None:
    for stack, changes, _ in REFUSED:
        with pytest.raises(SettingsError) as error:
            parsed(stack, **changes)
        for line in str(error.value).splitlines()[1:]:
            command = shlex.split(line.split("Correct it with: ")[1])
            assert command[:2] == ["pulumi", "config"], line
            assert re.fullmatch(r"set|rm", command[2]), line


def test_the_error_for_a_misspelled_key_names_the_nearest_key() -> None:
    with pytest.raises(SettingsError, match="unknown key; the nearest key is maxWorkers"):
        parsed(maxWorker=3)


def test_one_error_lists_all_problems() -> None:
    with pytest.raises(SettingsError) as error:
        parsed(cpus=0, memory="x", gpus=-1)

    assert len(str(error.value).splitlines()) == 4


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as error:
        parsed(rayToken="hunter2")

    assert "hunter2" not in str(error.value)


def test_a_secret_in_clear_text_in_the_stacks_file_is_refused() -> None:
    raw = config("dev", {"rayToken": "a-long-enough-secret"})

    with pytest.raises(SettingsError, match="in clear text") as error:
        settings.parse(raw, is_encrypted=lambda key: key != "manta:rayToken")

    assert "pulumi config set --secret rayToken" in str(error.value)


def test_settings_cannot_be_changed() -> None:
    stack_settings = parsed()

    with pytest.raises(ValidationError, match="frozen"):
        stack_settings.size.cpus = 2  # type: ignore[misc] # the test of this refusal


def test_keys_of_other_projects_are_ignored() -> None:
    raw = config("dev", {}) | {"aws:region": "eu-central-1"}

    assert settings.parse(raw).cluster.context == "minikube"


def test_lists_and_objects_are_decoded() -> None:
    stack_settings = parsed(localContexts=["a", "b"], mlflowServiceAccountAnnotations={"k": "v"})

    assert stack_settings.cluster.local_contexts == ("a", "b")
    assert stack_settings.storage.mlflow_service_account_annotations == {"k": "v"}


def test_cpus_changes_one_value() -> None:
    before, after = parsed().model_dump(), parsed(cpus=2).model_dump()

    assert after["size"].pop("cpus") == 2
    assert before["size"].pop("cpus") == 1
    assert after == before


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_projects_stacks_are_accepted_unchanged(stack: str) -> None:
    assert parsed(stack).cluster.context
