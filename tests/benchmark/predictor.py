"""The compiled forest against scikit-learn, which answers alone: `python -m tests.benchmark.predictor`.

First both answer 100,000 rows of which half lie on or next to thresholds; a bit that differs ends the run. Then, in
each of five rounds, both answer the same rows one after the other, labels and probabilities. Ratios are medians of
those within a round.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesRegressor

from app.models.artifact import Artifact
from app.models.predictor import Predictor, compile_model
from app.models.signature import Column, Columns
from tests.benchmark import forest, report
from tests.support.hard_rows import hard_rows

GOALS: Final = {1: 1000, 64: 130, 4096: 12}
"""Times faster, by rows."""
HARD_ROWS: Final = 100_000
ROUNDS: Final = 5
ROWS: Final = (1, 4, 16, 64, 256, 1024, 4096)
TREES: Final = (10, 30, 100, 300, 1000)
ROUND_S: Final = 0.25
"""The least time for which a contender is measured in a round."""


def main() -> None:
    """Compare, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round and few sizes, printed and not written")
    is_quick = parser.parse_args().quick
    rounds, trees = (1, TREES[:2]) if is_quick else (ROUNDS, TREES)
    machine = report.machine("numpy", "numba", "scikit-learn")
    model = forest.fitted()
    parity = _parity(model)
    by_rows = {count: _timed(model, count, rounds) for count in ROWS}
    by_trees = {count: _timed(forest.fitted(trees=count), 64, rounds) for count in trees}
    measured = {"machine": machine, "parity": parity, "by_rows": by_rows, "by_trees_at_64_rows": by_trees}
    text = _page(measured)
    print(text)  # noqa: T201
    if is_quick:
        return
    panels = {
        "microseconds over rows": by_rows,
        "microseconds at 64 rows over trees": by_trees,
    }
    curves = {
        title: {
            name: {float(count): figures[f"{name}_us"] for count, figures in points.items()}
            for name in ("scikit-learn", "manta")
        }
        for title, points in panels.items()
    }
    report.write("predictor", measured, text, curves)


def _compiled(model: BaseEstimator) -> tuple[Predictor, float]:
    """The model as a replica holds it, and the milliseconds that this took."""
    example = pd.DataFrame(np.zeros((1, model.n_features_in_)))
    stored = Artifact(
        model=model,
        columns=Columns(Column(name=str(name)) for name in example.columns),
        example=example,
        example_predictions=None,
        example_probabilities=None,
        example_labels=[],
    )
    started = time.perf_counter()
    predictor = compile_model(stored, label="the forest")
    return predictor, round((time.perf_counter() - started) * 1000, 1)


def _parity(model: BaseEstimator) -> dict[str, Any]:
    """Let models of several kinds answer hard rows, and compare all bits.

    Raises:
        SystemExit: They differ.
    """
    values, labels = forest.rows()
    regressor = ExtraTreesRegressor(30, min_samples_leaf=3, random_state=0, n_jobs=1)
    models = {
        "two classes": model,
        "three classes with impure leaves": forest.fitted(classes=3),
        "regressor": regressor.fit(values.to_numpy()[:5000], (labels[:5000] == "low") + values["x0"][:5000]),
    }
    for name, kind in models.items():
        rows = hard_rows(kind, HARD_ROWS, seed=7)
        predictor, _ = _compiled(kind)
        if predictor.forest is None:
            raise SystemExit(f"{name}: scikit-learn itself answers")
        predictions, probabilities = predictor.predict(rows)
        is_same = np.array_equal(predictions, kind.predict(rows)) and (
            probabilities is None or probabilities.tobytes() == kind.predict_proba(rows).tobytes()
        )
        if not is_same:
            raise SystemExit(f"{name}: the answers differ, and so no time is worth a ratio")
    return {"rows": HARD_ROWS, "models": list(models), "differing_bits": 0}


def _timed(model: BaseEstimator, count: int, rounds: int) -> dict[str, Any]:
    rows = hard_rows(model, 2 * count, seed=count)[count // 2 : count // 2 + count]
    predictor, load_ms = _compiled(model)
    nodes = int(sum(member.tree_.node_count for member in model.estimators_))

    def alone() -> object:
        return model.predict(rows), model.predict_proba(rows)

    contenders: dict[str, Callable[[], object]] = {"scikit-learn": alone, "manta": lambda: predictor.predict(rows)}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, answer in contenders.items():
            times[name].append(_seconds(answer))
    return {
        "nodes": nodes,
        "load_ms": load_ms,
        **{f"{name}_us": round(statistics.median(given) * 1e6, 2) for name, given in times.items()},
        "times_faster": report.ratio(times["scikit-learn"], times["manta"]),
        "rounds_us": {name: [round(value * 1e6, 2) for value in given] for name, given in times.items()},
    }


def _seconds(answer: Callable[[], object]) -> float:
    """Median time of one answer, for as long as a round takes."""
    answer()
    times: list[float] = []
    while sum(times) < ROUND_S:
        started = time.perf_counter()
        answer()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _page(measured: dict[str, Any]) -> str:
    def lines(points: dict[int, dict[str, Any]]) -> list[list[object]]:
        return [
            [
                f"{count:,}",
                f"{figures['scikit-learn_us']:,.1f}",
                f"{figures['manta_us']:,.1f}",
                f"{figures['times_faster']:,.1f}x",
                f"{GOALS[count]:,}x" if points is measured["by_rows"] and count in GOALS else "",
            ]
            for count, figures in points.items()
        ]

    head = ["scikit-learn, us", "manta, us", "times faster", "goal"]
    parity = measured["parity"]
    first = measured["by_rows"][1]
    return "\n".join(
        [
            "# The compiled forest against scikit-learn",
            "",
            "`python -m tests.benchmark.predictor`: labels and probabilities of the same rows, scikit-learn with",
            "`n_jobs=1`. " + report.described(measured["machine"]),
            "",
            f"All bits of the answers are the same on {parity['rows']:,} rows, half of them on or next to thresholds,",
            f"for each of: {'; '.join(parity['models'])}.",
            f"The forest of {forest.TREES} trees ({first['nodes']:,} nodes, {forest.WIDTH} features) is ready after",
            f"{first['load_ms']} ms.",
            "",
            report.table(["rows", *head], lines(measured["by_rows"])),
            "",
            report.table(["trees, at 64 rows", *head], lines(measured["by_trees_at_64_rows"])),
            "",
            "![cost](predictor.svg)",
            "",
        ]
    )


if __name__ == "__main__":
    main()
