"""The models that the service serves beside its default model, and who may ask for predictions."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, TypeAdapter

from infra.config.options import NO_SECRET, OptionGroup
from infra.config.vocabulary import MODEL, SECRET, SECRET_MIN_LENGTH, Quantity, allowed

QUANTITY: Final = TypeAdapter[str](Quantity)

ModelName = Annotated[str, Field(pattern=MODEL)]


def _predict_tokens(secret: SecretStr) -> SecretStr:
    for entry in filter(None, secret.get_secret_value().split(",")):
        model, _, token = entry.rpartition(":")
        is_model = not model or re.fullmatch(MODEL, model) is not None
        if not is_model or len(token) < SECRET_MIN_LENGTH or SECRET.fullmatch(token) is None:
            raise ValueError(
                "allowed are TOKEN and MODEL:TOKEN, separated by commas; "
                f"a TOKEN has {SECRET_MIN_LENGTH} or more of the characters A-Z a-z 0-9 . _ ~ -"
            )
    return secret


def _optional_quantity(text: str) -> str:
    return QUANTITY.validate_python(text) if text else text


PredictTokens = Annotated[
    SecretStr, AfterValidator(_predict_tokens), allowed("`TOKEN` and `MODEL:TOKEN`, separated by commas")
]

OptionalQuantity = Annotated[str, AfterValidator(_optional_quantity), allowed("a Kubernetes quantity above 0")]

DEFAULT_SHARE: Final = 2
"""Part of a replica's memory that models may use by default: one of this many."""


class CatalogOptions(OptionGroup):
    """Models beside the default model, and tokens for predictions."""

    models: tuple[ModelName, ...] = Field(
        (),
        examples=[["churn", "fraud"]],
        description="Registered models that the service serves beside `modelName`. Empty: all with the tag "
        "`manta.serve`, which `manta serve` sets.",
    )
    models_memory: OptionalQuantity = Field(
        "",
        examples=["512Mi"],
        description="Memory of each replica for models beside `modelName`; the least recently used one is put out. "
        "Empty: half of the replica's share of `memory`.",
    )
    predict_tokens: PredictTokens = Field(
        NO_SECRET,
        description="Further tokens that only predictions accept, if `predictNeedsToken` is true: `TOKEN` for all "
        "models, `MODEL:TOKEN` for one model, separated by commas.",
    )
