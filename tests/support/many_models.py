"""Many small registered models, each with a champion, and one that is broken and one that is too large.

The module is run as a program in a separate process, so that the warnings of libraries do not fail a test. Its
arguments are the URL of MLflow and the number of models.
"""

import json
import sys
from dataclasses import asdict, dataclass

from mlflow import MlflowClient

from app import names
from app.models.served_models import SERVE_TAG
from tests.support.fleet_models import ROWS, fitted_forest, register, register_inconsistent
from tests.support.module_process import run_module

BROKEN = "broken"
LARGE = "large"


@dataclass(frozen=True)
class ManyModels:
    """The registered models."""

    answers: dict[str, list[list[list[float]]]]
    """The probabilities for `REQUEST_ROWS` of the versions 1 and 2 of each model. Version 1 is the champion."""


def register_all(url: str, count: int) -> ManyModels:
    """Register all models, with the tag by which the service serves them."""
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    answers = {}
    for index in range(count):
        name, forests = f"model-{index:02}", [fitted_forest(10 + 2 * index), fitted_forest(11 + 2 * index)]
        for forest in forests:
            register(url, forest, name=name)
        answers[name] = [forest.predict_proba(ROWS.head(3)).tolist() for forest in forests]
    register_inconsistent(url, name=BROKEN)
    register(url, fitted_forest(1, trees=500), name=LARGE)
    for name in (*answers, BROKEN, LARGE):
        client.set_registered_model_alias(name, names.CHAMPION, "1")
        client.set_registered_model_tag(name, SERVE_TAG, "true")
    return ManyModels(answers)


def register_in_subprocess(url: str, count: int) -> ManyModels:
    """Register all models in a separate process."""
    return ManyModels(**json.loads(run_module(__name__, url, str(count))))


if __name__ == "__main__":
    print(json.dumps(asdict(register_all(sys.argv[1], int(sys.argv[2])))))  # noqa: T201 - read by `register_in_subprocess`
