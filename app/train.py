"""The training job: fit, evaluate on held-out rows, log, register.

Where the rows come from is decided in `app.data`; what is good enough to serve by default in `app.evaluation`.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass
from typing import Final

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from sklearn.ensemble import RandomForestClassifier

from app import artifact, data, evaluation, options, provenance
from app.cli.errors import as_app, run_command
from app.registry import FAILED, GATE_TAG, PASSED, Registry
from app.settings import Settings, settings

log = logging.getLogger("manta.train")

HELP: Final = "Train a random forest, evaluate it on held-out rows and register it in MLflow."

EXAMPLE_ROWS: Final = 5
"""Held-out rows that are stored beside the model, with its answers, for checks at load."""

DIGEST_LENGTH: Final = 36
"""MLflow's limit for the digest of a data set; the whole fingerprint is a tag."""


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Parameters of scikit-learn's `RandomForestClassifier`, by its own names."""

    n_estimators: int = 100
    max_depth: int | None = None
    max_features: float | str = "sqrt"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run made; the job's last line of output is this as JSON."""

    run_id: str
    model_name: str
    version: str
    gate: str
    """`passed` or `failed`: whether it beat answering the most frequent class."""
    metrics: dict[str, float]
    """Scores on the held-out rows."""
    fingerprint: str
    """Of the forest: the same data, parameters and seed give the same."""
    fit_s: float


def plan(chosen: options.TrainOptions, defaults: Settings) -> tuple[data.Dataset, Forest]:
    """Read the data that the options name, and settle the forest's parameters.

    `--synthetic` derives both from width, height and steps, as the original of this project did.

    Raises:
        ParameterError: There is no such bundled data set.
        DataError: The data cannot be used.
    """
    if chosen.synthetic:
        width, height, steps = (
            default if given is None else given
            for given, default in ((chosen.width, 50), (chosen.height, 25), (chosen.steps, 100))
        )
        rows = data.synthetic(n_samples=min(5000, 500 + 10 * steps), seed=chosen.seed)
        forest = Forest(n_estimators=max(10, width), max_depth=max(2, height), max_features=min(1.0, 0.3 + steps / 500))
        return rows, forest
    forest = Forest(
        n_estimators=chosen.trees or Forest.n_estimators,
        max_depth=chosen.max_depth,
        max_features=chosen.max_features or Forest.max_features,
    )
    if chosen.data is not None and chosen.target is not None:
        return data.from_file(chosen.data, target=chosen.target), forest
    return data.bundled(chosen.dataset or defaults.dataset), forest


def train(chosen: options.TrainOptions, configured: Settings) -> Result:
    """Fit a forest and register it.

    Args:
        chosen: Options, checked.
        configured: Where MLflow is, and the names to register under.

    Raises:
        DataError: The data cannot be used; no run is started.
        RegistryUnavailableError: MLflow does not answer; no version is registered.
    """
    dataset, forest = plan(chosen, configured)
    parts = data.split(dataset, test_size=chosen.test_size, seed=chosen.seed)
    log.info("%s: %d rows, %d features", dataset.name, *dataset.features.shape)
    registry = Registry(configured)
    tags = {
        **provenance.origin(chosen, configured),
        "data.source": dataset.source,
        "data.fingerprint": dataset.fingerprint,
        **dataset.tags,
        **provenance.changed(registry, configured.experiment, dataset),
    }
    with registry.run(configured.experiment, tags=tags) as run_id:
        mlflow.log_params(
            asdict(forest) | {"dataset": dataset.name, "test_size": chosen.test_size, "seed": chosen.seed}
        )
        _log_dataset(dataset)
        started = time.perf_counter()
        model = RandomForestClassifier(**asdict(forest), random_state=chosen.seed, n_jobs=-1)
        model.fit(parts.train_features, parts.train_target)
        fit_s = time.perf_counter() - started
        log.info("%d trees fitted in %.2f s", forest.n_estimators, fit_s)
        scores = _evaluate(model, parts)
        verdict = PASSED if scores[evaluation.GATE_METRIC] > evaluation.baseline(parts) else FAILED
        model_fingerprint = provenance.fingerprint(model)
        mlflow.log_metric("fit_s", fit_s)
        mlflow.set_tags({"model.fingerprint": model_fingerprint, GATE_TAG: verdict})
        example = parts.test_features.head(EXAMPLE_ROWS)
        uri = artifact.log(model, example=example, labels=parts.test_target.head(EXAMPLE_ROWS))
        version = registry.register(
            configured.model_name,
            model_uri=uri,
            description=f"Random forest of {forest.n_estimators} trees on {dataset.name}: "
            f"balanced accuracy {scores['balanced_accuracy']:.4f} on {len(parts.test_target)} held-out rows.",
            tags={GATE_TAG: verdict, "data.fingerprint": dataset.fingerprint, "model.fingerprint": model_fingerprint},
        )
    return Result(
        run_id=run_id,
        model_name=configured.model_name,
        version=str(version.version),
        gate=verdict,
        metrics=scores,
        fingerprint=model_fingerprint,
        fit_s=round(fit_s, 3),
    )


def _log_dataset(dataset: data.Dataset) -> None:
    """Record the data's source, schema and digest as an input of the run; the rows themselves are not uploaded."""
    is_location = "://" in dataset.source or data.is_file(dataset.source)
    table = dataset.features.assign(**{str(dataset.target.name): dataset.target})
    mlflow.log_input(
        from_pandas(
            table,
            source=dataset.source if is_location else CodeDatasetSource(tags={"function": dataset.source}),
            targets=str(dataset.target.name),
            name=dataset.name,
            digest=dataset.fingerprint[:DIGEST_LENGTH],
        ),
        context="training",
    )


def _evaluate(model: RandomForestClassifier, parts: data.Split) -> dict[str, float]:
    """Log scores and plots on the held-out rows."""
    scores = evaluation.metrics(model, parts.test_features, parts.test_target)
    mlflow.log_metrics(scores)
    for name, figure in evaluation.plots(model, parts.test_features, parts.test_target):
        mlflow.log_figure(figure, name)
    return scores


def run(chosen: options.TrainOptions) -> None:
    """Train, and print the result as the last line."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    result = train(chosen, settings())
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - the job's output


if __name__ == "__main__":
    run_command(as_app(options.command(run, help_text=HELP)))
