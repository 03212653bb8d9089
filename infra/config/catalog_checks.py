"""Checks of the models beside the default model: their memory, and the tokens for predictions."""

from collections.abc import Iterator

from infra.config import quantities
from infra.config.catalog_options import CatalogOptions
from infra.config.credential_options import CredentialOptions
from infra.config.options import SizeOptions
from infra.config.problem import Problem


def problems(catalog: CatalogOptions, *, size: SizeOptions, credentials: CredentialOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    if catalog.predict_tokens.get_secret_value() and not credentials.predict_needs_token:
        reason = "predictNeedsToken is false, so that predictions need no token"
        yield Problem("predictTokens", reason, "pulumi config set predictNeedsToken true")
    if catalog.models_memory and quantities.value(catalog.models_memory) >= quantities.value(size.memory):
        reason = f"given {catalog.models_memory}, which a worker of {size.memory} does not have"
        yield Problem("modelsMemory", reason, "pulumi config rm modelsMemory")
