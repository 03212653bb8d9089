"""The panel of drift on the page."""

from dataclasses import replace
from types import SimpleNamespace

from app.records.drift_runs import DriftRun, RetrainingDecision
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


DECISION = RetrainingDecision(
    text="retraining begins: its <score> fell.", begins=True, run_id="0a1b", judged_ms=1_700_000_000_000
)
TRAINING = SimpleNamespace(experiment_id="5", run_id="9f", name="calm-<owl>")


def panel(
    run: DriftRun, *, training: SimpleNamespace | None = None, mlflow_url: str = "http://mlflow.example.com/#"
) -> str:
    """The panel in HTML."""
    state = SimpleNamespace(drift=drift.describe([run], "m"), retraining=training, mlflow_url=mlflow_url)
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


def test_the_last_decision_about_retraining_links_to_the_training_that_it_began() -> None:
    html = panel(replace(judged("drift"), decision=DECISION), training=TRAINING)

    assert '<time datetime="2023-11-14T22:13:20+00:00">' in html
    assert "the schedule decided about version 3: retraining begins: its &lt;score&gt; fell." in html
    assert '<a href="http://mlflow.example.com/#/experiments/5/runs/9f">Training calm-&lt;owl&gt;</a>' in html


def test_a_training_is_named_without_a_link_if_no_browser_reaches_mlflow() -> None:
    html = panel(replace(judged("drift"), decision=DECISION), training=TRAINING, mlflow_url="")

    assert "Training calm-&lt;owl&gt;" in html
    assert "<a " not in html


def test_a_decision_without_a_training_has_no_link_to_one() -> None:
    refusal = replace(DECISION, text="no retraining: why not.", begins=False)

    html = panel(replace(judged("no drift"), decision=refusal))

    assert "no retraining: why not." in html
    assert "Training" not in html


def test_a_judgement_without_a_decision_says_nothing_about_retraining() -> None:
    assert "the schedule decided" not in panel(judged("drift"))


def test_the_newest_decision_counts_whichever_version_it_is_about() -> None:
    earlier = replace(DECISION, text="earlier", judged_ms=DECISION.judged_ms - 1)
    runs = [replace(judged("drift"), version="4", decision=earlier), replace(judged("drift"), decision=DECISION)]

    decision = drift.describe(runs, "m").retraining

    assert decision is not None
    assert (decision.version, decision.decision, decision.run_id) == ("3", DECISION.text, "0a1b")


def test_a_judgement_of_another_model_is_not_shown() -> None:
    assert drift.describe([judged("drift")], "other").judgement is None


def test_without_a_judgement_the_json_route_answers_null() -> None:
    answer, page = ask(("GET", "/model/drift", None), ("GET", "/", None))

    assert (answer.json()["judgement"], answer.json()["retraining"]) == (None, None)
    assert 'id="drift"' not in page.text
