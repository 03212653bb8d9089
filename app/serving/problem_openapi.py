"""The problem documents of each path in the OpenAPI document. `app.serving.protocol_openapi` has other protocols."""

from typing import Final

from app import errors
from app.serving.protocol_openapi import JsonSchema
from app.serving.schemas import Problem


def _problems(*error_classes: type[errors.MantaError]) -> dict[int | str, JsonSchema]:
    """Build the value of FastAPI's `responses` for some errors: a problem document for each status."""
    titles: dict[int, list[str]] = {}
    for error_class in error_classes:
        titles.setdefault(error_class.status, []).append(error_class.title)
    return {
        status: {"description": " or ".join(names), "content": {"application/problem+json": {"schema": PROBLEM}}}
        for status, names in titles.items()
    }


PROBLEM: Final = Problem.model_json_schema()

BODY_ERRORS: Final = (
    errors.BodyTimeoutError,
    errors.TooLargeError,
    errors.MediaTypeError,
    errors.InvalidBodyError,
)

PREDICT_PROBLEMS: Final = _problems(
    *BODY_ERRORS, errors.FeaturesError, errors.UnauthorizedError, errors.NoModelError, errors.OverloadedError
)

LOAD_PROBLEMS: Final = _problems(
    *BODY_ERRORS,
    errors.UnauthorizedError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.LoadInProgressError,
    errors.AliasMovedError,
    errors.RegistryUnavailableError,
    errors.PlatformError,
)

VERSIONS_PROBLEMS: Final = _problems(errors.ModelNotFoundError, errors.RegistryUnavailableError)

TRAININGS_PROBLEMS: Final = _problems(errors.RegistryUnavailableError)

FEEDBACK_PROBLEMS: Final = _problems(
    *BODY_ERRORS, errors.UnauthorizedError, errors.LogOffError, errors.OverloadedError, errors.PlatformError
)

MODEL_PROBLEMS: Final = _problems(errors.ModelNotFoundError, errors.ModelLoadingError)

NAMED_PREDICT_PROBLEMS: Final = _problems(
    *BODY_ERRORS,
    errors.FeaturesError,
    errors.UnauthorizedError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.RegistryUnavailableError,
    errors.NoModelError,
    errors.ModelLoadingError,
    errors.OverloadedError,
)

WITHDRAW_PROBLEMS: Final = _problems(
    errors.UnauthorizedError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.RegistryUnavailableError,
    errors.ModelLoadingError,
)

WEBHOOK_PROBLEMS: Final = _problems(
    errors.UnauthorizedError, errors.BodyTimeoutError, errors.TooLargeError, errors.MediaTypeError
)

BEGIN_ERRORS: Final = (
    *BODY_ERRORS,
    errors.UnauthorizedError,
    errors.RolloutError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.RegistryUnavailableError,
    errors.PlatformError,
)
"""Errors of a request that begins a shadow. The beginning of a rollout has them too."""

SHADOW_PROBLEMS: Final = _problems(*BEGIN_ERRORS)

SHADOW_END_ERRORS: Final = (
    errors.UnauthorizedError,
    errors.RolloutError,
    errors.RegistryUnavailableError,
    errors.PlatformError,
)

SHADOW_END_PROBLEMS: Final = _problems(*SHADOW_END_ERRORS)

NAMED_SHADOW_PROBLEMS: Final = _problems(
    *BEGIN_ERRORS, errors.NoModelError, errors.ModelLoadingError, errors.OverloadedError
)

NAMED_SHADOW_END_PROBLEMS: Final = _problems(*SHADOW_END_ERRORS, errors.ModelNotFoundError, errors.ModelLoadingError)

ROLLOUT_PROBLEMS: Final = _problems(*BEGIN_ERRORS, errors.LoadInProgressError)

NAMED_ROLLOUT_PROBLEMS: Final = _problems(
    *BEGIN_ERRORS,
    errors.LoadInProgressError,
    errors.NoModelError,
    errors.ModelLoadingError,
    errors.OverloadedError,
)

ROLLOUT_END_ERRORS: Final = (
    errors.UnauthorizedError,
    errors.RolloutError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.LoadInProgressError,
    errors.AliasMovedError,
    errors.RegistryUnavailableError,
    errors.PlatformError,
)

ROLLOUT_END_PROBLEMS: Final = _problems(*ROLLOUT_END_ERRORS)

NAMED_ROLLOUT_END_PROBLEMS: Final = _problems(*ROLLOUT_END_ERRORS, errors.ModelLoadingError)
