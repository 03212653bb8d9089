"""What `manta drift` prints and stores."""

import json

import numpy as np
import pyarrow as pa
import pytest

from app.drift import report
from app.drift.judge import Judgement, judge
from app.records.reference import ColumnProfile, Reference
from tests.support.drift_data import reference_of, window_of


def judged(shift: float) -> Judgement:
    """The judgement about a window whose second column moved. The model ignores the third column, which moved too."""
    generator = np.random.default_rng(1)
    reference = reference_of(
        generator.normal(size=(500, 3)), generator.normal(size=(100, 3)), generator.random(100), [1.0, 1.0, 0.0]
    )
    features = generator.normal(size=(300, 3))
    features[:, 1:] += shift
    window, labels = window_of(features, generator.random(300))
    return judge(reference, window, labels)


def test_the_text_names_each_check_and_the_columns_that_changed() -> None:
    lines = list(report.lines(judged(shift=2)))

    assert lines[0] == "drift (300 rows)"
    assert "  alarm: column 'x1' changed" in lines
    names = [line.strip().partition(":")[0] for line in lines]
    assert names[-6:-2] == ["estimated score", "realised score", "all columns at once", "answers"]
    assert set(names[-2:]) == {"column 'x1' changed", "column 'x2' changed"}
    [ignored] = [line for line in lines if line.startswith("  column 'x2' changed")]
    assert ignored.endswith("; too little influence on the answers for an alarm")


@pytest.mark.parametrize(("rows", "text"), [(1, "1 row"), (4, "4 rows")])
def test_the_text_of_a_window_that_is_not_judged_is_a_sentence(rows: int, text: str) -> None:
    judgement = Judgement(verdict="not enough rows", rows=rows, reasons=[], notes=[], columns=[])

    assert list(report.lines(judgement)) == [f"not enough rows ({text})"]


def test_the_page_shows_each_check_and_escapes_names() -> None:
    page = report.page(judged(shift=2), title="<model> version 1")

    assert "<model>" not in page
    assert "&lt;model&gt; version 1, 300 rows" in page
    for check in ("Estimated score", "Realised score", "All columns at once", "Answers"):
        assert f"<b>{check}</b>: " in page
    assert page.count("<tr class='alarm'>") == page.count("<tr class='changed'>") == 1


def test_the_metrics_of_a_judgement_are_numbers_by_name() -> None:
    metrics = report.metrics(judged(shift=0))

    assert (metrics["drift"], metrics["rows"], metrics["columns_changed"]) == (0, 300, 0)
    assert metrics["score_fell"] == 0
    assert metrics["realised_score_low"] < metrics["realised_score"] < metrics["realised_score_high"]


def test_no_report_holds_a_value_of_a_row() -> None:
    reference, (window, labels) = with_towns("Lima", rows=500), window_of(np.zeros((300, 2)), np.zeros(300))
    window = window.set_column(1, "feature.x1", pa.array(["Cusco"] * 300))

    judgement = judge(reference, window, labels)

    texts = [report.page(judgement, title="m"), json.dumps(judgement.to_json()), *report.lines(judgement)]
    assert "column 'x1' changed" in judgement.reasons
    assert [text for text in texts if "Lima" in text or "Cusco" in text] == []


def with_towns(town: str, *, rows: int) -> Reference:
    """A reference whose second column holds a text."""
    reference = reference_of(np.zeros((rows, 2)), np.zeros((rows, 2)), np.zeros(rows))
    column = ColumnProfile(
        name="x1", kind="text", missing=0.0, influence=1.0, categories={town: rows}, category_count=1
    )
    profile = reference.profile.model_copy(update={"columns": [reference.profile.columns[0], column]})
    towns = pa.array([town] * rows)
    return Reference(
        profile=profile,
        rows=reference.rows.set_column(1, "feature.x1", towns),
        held_out=reference.held_out.set_column(1, "feature.x1", towns),
    )
