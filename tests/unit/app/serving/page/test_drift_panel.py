"""The panel of drift on the page."""

from types import SimpleNamespace

from app.records.drift_runs import DriftRun
from app.serving.page import drift
from app.serving.page.routes import create_templates
from tests.support.replica_api import ask

SCORES = {"realised_score": 0.91, "realised_score_low": 0.9, "realised_score_high": 0.92, "realised_score_before": 0.95}


def judged(verdict: str, **metrics: float) -> DriftRun:
    return DriftRun(
        model="m",
        version="3",
        metrics=metrics,
        verdict=verdict,
        run_id="0a1b",
        experiment_id="7",
        judged_ms=1_700_000_000_000,
    )


def panel(run: DriftRun) -> str:
    """The panel in HTML."""
    state = SimpleNamespace(drift=drift.describe([run], "m").judgement, mlflow_url="http://mlflow.example.com/#")
    return create_templates().get_template("drift.html").render(state=state)


def test_a_judgement_shows_its_verdict_and_its_scores_with_a_link_to_the_report() -> None:
    html = panel(judged("drift", rows=1234.0, columns_changed=2.0, **SCORES))

    assert '<span class="gate failed">drift</span>' in html
    assert "<dt>Rows</dt><dd>1,234</dd>" in html
    assert "0.9000 to 0.9200" in html
    assert "estimated accuracy" not in html
    assert 'href="http://mlflow.example.com/#/experiments/7/runs/0a1b"' in html


def test_a_period_with_too_few_rows_says_so() -> None:
    html = panel(judged("not enough rows"))

    assert '<span class="gate ">not enough rows</span>' in html
    assert "too few predictions" in html
    assert "<table>" not in html


def test_a_judgement_of_another_model_is_not_shown() -> None:
    assert drift.describe([judged("drift")], "other").judgement is None


def test_without_a_judgement_the_json_route_answers_null() -> None:
    answer, page = ask(("GET", "/model/drift", None), ("GET", "/", None))

    assert answer.json()["judgement"] is None
    assert 'id="drift"' not in page.text
