"""The named types of configuration values: each refuses what Kubernetes or KubeRay would refuse later."""

import re
import shlex
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from infra import names
from infra.config import cron, quantities

DNS_LABEL: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""RFC 1035, which Services and KubeRay ask for: it begins with a letter."""
HOST: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"
IMAGE: Final = r"^([a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*([:@][A-Za-z0-9._:-]+)?)?$"
ARTIFACT_ROOT: Final = r"^(volume|(s3|gs)://[^/\s]+(/\S*)?|wasbs://[^@/\s]+@[^/\s]+(/\S*)?)$"
ROUTE: Final = r"^/([A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*)?$"
ADDRESS: Final = r"^([A-Za-z0-9.-]+:[0-9]{1,5})?$"
MODEL: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

SECRET_MIN_LENGTH: Final = 16
"""Characters of a supplied secret: enough that its checksum in a pod annotation tells nothing about it."""
SECRET: Final = re.compile(r"[A-Za-z0-9._~-]*")
"""Safe in a URL, a header and the sed script of the MLflow chart, each of which carries such a secret."""


def _quantity(text: str) -> str:
    if quantities.value(text) <= 0:
        raise ValueError(f"{text!r} is nothing; allowed is more than 0")
    return quantities.canonical(text)


def _secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text and (len(text) < SECRET_MIN_LENGTH or SECRET.fullmatch(text) is None):
        raise ValueError(f"allowed are {SECRET_MIN_LENGTH} or more of the characters A-Z a-z 0-9 . _ ~ -")
    return secret


def _words(text: str) -> str:
    shlex.split(text)
    return text


Quantity = Annotated[str, AfterValidator(_quantity)]
"""An amount of CPU or bytes, more than 0; kept as Kubernetes spells it."""
Secret = Annotated[SecretStr, AfterValidator(_secret)]
"""A password or token; empty means that one is generated, or that there is none."""
RayServiceName = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=names.KUBERAY_MAX_NAME)]
NamespaceName = Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=names.MAX_NAMESPACE)]
ObjectName = Annotated[str, StringConstraints(pattern=HOST, max_length=253)]
"""Name of an object in the cluster, or empty for none."""
Host = Annotated[str, StringConstraints(pattern=HOST, max_length=253)]
"""A DNS name or an IPv4 address, or empty for none."""
Address = Annotated[str, StringConstraints(pattern=ADDRESS)]
"""Host and port, or empty for none."""
ImageReference = Annotated[str, StringConstraints(pattern=IMAGE)]
"""An image with its tag or digest, or empty for the default."""
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=1000)]
CronSchedule = Annotated[str, AfterValidator(cron.checked)]
"""When something happens again and again, or empty for never."""
Words = Annotated[str, AfterValidator(_words)]
"""Arguments of a command, as a shell takes them."""
Minutes = Annotated[int, Field(ge=1, le=10_080)]
"""Up to a week."""
