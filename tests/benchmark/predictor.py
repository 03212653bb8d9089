"""Compiled trees against their library: `python -m tests.benchmark.predictor`.

First both predict 100,000 rows, half of them on or next to a threshold of the forest. The benchmark stops if one bit
differs. Then, in each of five rounds, both predict labels and probabilities of the same rows, one after the other. A
ratio is the median of the ratios within the rounds. A time is that of the fastest call in a round, because other
processes disturb it least. Boosting is compared in the same way, on 20,000 rows.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor
from threadpoolctl import threadpool_limits

from app.models.artifact import Artifact
from app.models.predictor import Predictor, compile_model
from app.models.signature import Column, Columns
from tests.benchmark import boosting, forest, report
from tests.support.json_object import JsonObject
from tests.support.threshold_rows import rows_near_thresholds

GOALS: Final = {1: 1000, 64: 130, 4096: 12}
"""Goal for the ratio of the times, by number of rows."""
PARITY_ROWS: Final = 100_000
ROUNDS: Final = 5
ROW_COUNTS: Final = (1, 4, 16, 64, 256, 1024, 4096)
TREE_COUNTS: Final = (10, 30, 100, 300, 1000)
ROUND_S: Final = 0.25
"""Shortest time to measure one contender in a round."""


def main() -> None:
    """Compare the predictions, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round and few sizes, printed and not written")
    is_quick = parser.parse_args().quick
    rounds, tree_counts = (1, TREE_COUNTS[:2]) if is_quick else (ROUNDS, TREE_COUNTS)
    machine = report.read_machine("numpy", "numba", "scikit-learn", "xgboost-cpu", "lightgbm")
    model = forest.fit_forest()
    parity = _check_parity(model)
    by_rows = {count: _measure(model, count, rounds) for count in ROW_COUNTS}
    by_trees = {count: _measure(forest.fit_forest(tree_count=count), 64, rounds) for count in tree_counts}
    with threadpool_limits(1):
        boosters = {name: _measure_boosting(name, fitted, rounds) for name, fitted in boosting.fitted_models()}
    figures = {
        "machine": machine,
        "parity": parity,
        "by_rows": by_rows,
        "by_trees_at_64_rows": by_trees,
        "boosting": boosters,
    }
    page = _page(figures)
    print(page)  # noqa: T201 - the result
    if is_quick:
        return
    points_by_title = {
        "microseconds over rows": by_rows,
        "microseconds at 64 rows over trees": by_trees,
    }
    panels = {
        title: {
            name: {float(count): point[f"{name}_us"] for count, point in points.items()}
            for name in ("scikit-learn", "manta")
        }
        for title, points in points_by_title.items()
    }
    report.write_report("predictor", figures, page, panels)


def _compile(model: BaseEstimator) -> tuple[Predictor, float]:
    """Compile a model as a replica does, and return it with the duration in milliseconds."""
    example = pd.DataFrame(np.zeros((1, model.n_features_in_))).rename(columns=str)
    artifact = Artifact(
        model=model,
        columns=Columns(Column(name=name) for name in example.columns),
        example=example,
        example_predictions=None,
        example_probabilities=None,
        example_labels=[],
    )
    start_s = time.perf_counter()
    predictor = compile_model(artifact, label="the forest")
    return predictor, round((time.perf_counter() - start_s) * 1000, 1)


def _check_parity(model: BaseEstimator) -> JsonObject:
    """Predict hard rows with several kinds of models, and compare every bit.

    Raises:
        SystemExit: The predictions differ.
    """
    values, labels = forest.make_rows()
    regressor = ExtraTreesRegressor(30, min_samples_leaf=3, random_state=0, n_jobs=1)
    models = {
        "two classes": model,
        "three classes with impure leaves": forest.fit_forest(class_count=3),
        "regressor": regressor.fit(values.to_numpy()[:5000], (labels[:5000] == "low") + values["x0"][:5000]),
    }
    for name, original in models.items():
        rows = rows_near_thresholds(original, PARITY_ROWS, seed=7)
        predictor, _ = _compile(original)
        if predictor.flat is None:
            raise SystemExit(f"{name}: the model is not compiled; scikit-learn predicts")
        answers = predictor.predict(rows)
        is_same = np.array_equal(answers.predictions, original.predict(rows)) and (
            answers.probabilities is None or answers.probabilities.tobytes() == original.predict_proba(rows).tobytes()
        )
        if not is_same:
            raise SystemExit(f"{name}: the predictions differ, so the times cannot be compared")
    return {"rows": PARITY_ROWS, "models": list(models), "differing_bits": 0}


def _measure(model: BaseEstimator, count: int, rounds: int) -> JsonObject:
    rows = rows_near_thresholds(model, 2 * count, seed=count)[count // 2 : count // 2 + count]
    predictor, load_ms = _compile(model)
    node_count = int(sum(member.tree_.node_count for member in model.estimators_))
    return {"nodes": node_count, "load_ms": load_ms} | _race(model, predictor, rows, rounds, library="scikit-learn")


def _measure_boosting(name: str, model: BaseEstimator, rounds: int) -> dict[int, JsonObject]:
    """Compare every bit, and then the times for each number of rows.

    Raises:
        SystemExit: The predictions differ.
    """
    predictor, _ = _compile(model)
    rows = boosting.mixed_rows(boosting.PARITY_ROWS, seed=7)
    answers = predictor.predict(rows)
    is_same = np.array_equal(answers.predictions, model.predict(rows)) and (
        answers.probabilities is None or answers.probabilities.tobytes() == model.predict_proba(rows).tobytes()
    )
    if predictor.flat is None or not is_same:
        raise SystemExit(f"{name}: the model is not compiled, or its predictions differ")
    return {count: _race(model, predictor, rows[:count], rounds, library="library") for count in boosting.ROW_COUNTS}


def _race(model: BaseEstimator, predictor: Predictor, rows: np.ndarray, rounds: int, *, library: str) -> JsonObject:
    """Let both predict the same rows, one after the other in each round."""

    def predict_with_library() -> object:
        return model.predict(rows), model.predict_proba(rows) if hasattr(model, "predict_proba") else None

    contenders: dict[str, Callable[[], object]] = {
        library: predict_with_library,
        "manta": lambda: predictor.predict(rows),
    }
    times_s: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, predict in contenders.items():
            times_s[name].append(_fastest_time(predict))
    return {
        **{f"{name}_us": round(statistics.median(values) * 1e6, 2) for name, values in times_s.items()},
        "times_faster": report.median_ratio(times_s[library], times_s["manta"]),
        "rounds_us": {name: [round(value * 1e6, 2) for value in values] for name, values in times_s.items()},
    }


def _fastest_time(predict: Callable[[], object]) -> float:
    """Return the time of the fastest call in seconds, of calls for at least `ROUND_S`."""
    predict()  # warm up
    times_s: list[float] = []
    while sum(times_s) < ROUND_S:
        start_s = time.perf_counter()
        predict()
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)


def _page(figures: JsonObject) -> str:
    def table_rows(points: dict[int, JsonObject]) -> list[list[object]]:
        return [
            [
                f"{count:,}",
                f"{point['scikit-learn_us']:,.1f}",
                f"{point['manta_us']:,.1f}",
                f"{point['times_faster']:,.1f}x",
                f"{GOALS[count]:,}x" if points is figures["by_rows"] and count in GOALS else "",
            ]
            for count, point in points.items()
        ]

    boosting_rows = [
        [
            name,
            f"{count:,}",
            f"{point['library_us']:,.1f}",
            f"{point['manta_us']:,.1f}",
            f"{point['times_faster']:,.1f}x",
        ]
        for name, points in figures["boosting"].items()
        for count, point in points.items()
    ]
    header = ["scikit-learn, us", "manta, us", "times faster", "goal"]
    parity = figures["parity"]
    one_row = figures["by_rows"][1]
    size = f"{one_row['nodes']:,} nodes, {forest.FEATURE_COUNT} features"
    return "\n".join(
        [
            "# Compiled trees against their library",
            "",
            "`python -m tests.benchmark.predictor`: labels and probabilities of the same rows, scikit-learn with",
            "`n_jobs=1`. A time is that of the fastest call in a round of 0.25 s, because other processes disturb it",
            "least; median of five rounds. " + report.describe_machine(figures["machine"]),
            "",
            f"All bits of the answers are the same on {parity['rows']:,} rows, half of them on or next to thresholds,",
            f"for each of: {'; '.join(parity['models'])}.",
            f"The forest of {forest.TREE_COUNT} trees ({size}) is compiled, and",
            f"compared with scikit-learn on generated rows, in {one_row['load_ms']} ms.",
            "",
            report.markdown_table(["rows", *header], table_rows(figures["by_rows"])),
            "",
            report.markdown_table(["trees, at 64 rows", *header], table_rows(figures["by_trees_at_64_rows"])),
            "",
            "![cost](predictor.svg)",
            "",
            "## Boosting",
            "",
            f"{boosting.ROUNDS} rounds, {boosting.LEAVES} leaves a tree (`GradientBoostingClassifier`: depth 3),",
            f"{boosting.TRAINING_ROWS:,} training rows. Labels and probabilities, or numbers, of the same rows. Each",
            "library predicts with one thread. All bits of the answers are the same on",
            f"{boosting.PARITY_ROWS:,} rows, half of them moved by one bit. The goal for one row of the first model is",
            f"{boosting.GOAL}x.",
            "",
            report.markdown_table(["model", "rows", "library, us", "manta, us", "times faster"], boosting_rows),
            "",
        ]
    )


if __name__ == "__main__":
    main()
