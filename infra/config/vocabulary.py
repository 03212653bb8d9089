"""Types of configuration values. Each type refuses at once what Kubernetes or KubeRay would refuse later."""

import re
import shlex
import ssl
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic.fields import FieldInfo

from infra import names
from infra.config import cron, quantities, urls

DNS_LABEL: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""A label of RFC 1035, as Services and KubeRay require: it begins with a letter."""
HOST: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"
IMAGE: Final = (
    r"^([a-z0-9][a-z0-9._-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[a-f0-9]{64})?)?$"
)
ARTIFACT_ROOT: Final = r"^(volume|(s3|gs)://[^/\s]+(/\S*)?|wasbs://[^@/\s]+@[^/\s]+(/\S*)?)$"
ROUTE: Final = r"^/([A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*)?$"
ADDRESS: Final = r"^([A-Za-z0-9.-]+:[0-9]{1,5})?$"
MODEL: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"

SECRET_MIN_LENGTH: Final = 16
"""Minimum length of a secret. Pod annotations hold its checksum, from which a shorter secret could be guessed."""
SECRET: Final = re.compile(r"[A-Za-z0-9._~-]*")
"""Characters that need no escaping in a URL, an HTTP header, or the `sed` script of the MLflow chart."""

SERVICE_SECRET: Final = re.compile(r"[!-)+->@-Z\\-~]*")
"""Characters of a password of another service. Ray's start command expands the password without quotes, so spaces and
the wildcards of a shell would change it."""


def _quantity(text: str) -> str:
    if quantities.value(text) <= 0:
        raise ValueError(f"{text!r} is not a positive amount; allowed is any quantity above 0")
    return quantities.canonical(text)


def _secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text and (len(text) < SECRET_MIN_LENGTH or SECRET.fullmatch(text) is None):
        raise ValueError(f"allowed are {SECRET_MIN_LENGTH} or more of the characters A-Z a-z 0-9 . _ ~ -")
    return secret


def _service_secret(secret: SecretStr) -> SecretStr:
    if SERVICE_SECRET.fullmatch(secret.get_secret_value()) is None:
        raise ValueError("allowed are printable ASCII characters except space, *, ? and [")
    return secret


def _certificates(pem: str) -> str:
    if pem:
        try:
            ssl.create_default_context(cadata=pem)
        except ssl.SSLError as error:
            raise ValueError("the text holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from error
    return pem


def _shell_arguments(text: str) -> str:
    shlex.split(text)
    return text


def allowed(words: str) -> FieldInfo:
    """Annotate a type with its allowed values in words, for docs/reference/configuration.md."""
    field: FieldInfo = Field(json_schema_extra={"allowed": words})
    return field


Quantity = Annotated[str, AfterValidator(_quantity), allowed("a Kubernetes quantity above 0")]
"""A Kubernetes quantity above 0, in its canonical form."""
QuantityOrNone = Annotated[
    str, AfterValidator(lambda text: _quantity(text) if text else ""), allowed("a Kubernetes quantity above 0")
]
"""A quantity. Empty: none."""
Secret = Annotated[
    SecretStr, AfterValidator(_secret), allowed(f"{SECRET_MIN_LENGTH} or more characters of `A-Z a-z 0-9 . _ ~ -`")
]
"""A password or token. The key's description says what an empty value means."""
ServiceSecret = Annotated[
    SecretStr, AfterValidator(_service_secret), allowed("printable ASCII except space, `*`, `?` and `[`")
]
"""Password of a service outside of the stack."""
Certificates = Annotated[str, AfterValidator(_certificates), allowed("certificates in PEM form")]
"""Certificates of certificate authorities. Empty: those of the image."""
Url = Annotated[
    str,
    StringConstraints(pattern=r"^(https?://[^/\s:]+(:[0-9]{1,5})?(/\S*)?)?$"),
    AfterValidator(urls.with_valid_port),
    allowed("http(s)://HOST[:PORT][/PATH]"),
]
"""Address of a service. Empty: the default of its client."""
DatabaseName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$"), allowed("letters, digits, `_` and `-`")]
RayServiceName = Annotated[
    str,
    StringConstraints(pattern=DNS_LABEL, max_length=names.KUBERAY_MAX_NAME),
    allowed(f"a DNS label, at most {names.KUBERAY_MAX_NAME} characters"),
]
NamespaceName = Annotated[
    str,
    StringConstraints(pattern=DNS_LABEL, max_length=names.MAX_NAMESPACE),
    allowed(f"a DNS label, at most {names.MAX_NAMESPACE} characters"),
]
ObjectName = Annotated[str, StringConstraints(pattern=HOST, max_length=253), allowed("a Kubernetes object name")]
"""Name of a Kubernetes object. Empty: none."""
Host = Annotated[str, StringConstraints(pattern=HOST, max_length=253), allowed("a DNS name or an IPv4 address")]
"""A DNS name or an IPv4 address. Empty: none."""
Address = Annotated[str, StringConstraints(pattern=ADDRESS), allowed("HOST:PORT")]
"""HOST:PORT. Empty: none."""
ImageReference = Annotated[str, StringConstraints(pattern=IMAGE), allowed("an image name or a registry path")]
"""A container image with its tag or digest. Empty: the default image."""
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=1000)]
CronSchedule = Annotated[str, AfterValidator(cron.check), allowed("five fields, or a macro such as `@daily`")]
"""A cron schedule. Empty: none."""
ShellArguments = Annotated[str, AfterValidator(_shell_arguments), allowed("arguments, quoted as in a shell")]
"""Command line arguments, quoted as in a shell."""
Minutes = Annotated[int, Field(ge=1, le=10_080)]
"""Minutes, up to one week."""
LoadSeconds = Annotated[int, Field(ge=1, le=3600)]
"""Seconds, up to one hour."""
