"""The panel of a shadow on the page."""

from types import SimpleNamespace

from app.serving.page.routes import create_templates
from app.serving.schemas import now
from app.serving.shadow.messages import Differences, Latency, ShadowFigures, ShadowState, ShadowStatus

LATENCY = Latency(p50_ms=1.0, p95_ms=2.5, p99_ms=3.0)
FIGURES = ShadowFigures(
    champion="6",
    requests=10,
    rows=1_234,
    errors=2,
    last_error="Value<Error>",
    dropped=3,
    agreement=0.9996,
    labels=[],
    confusion=[],
    difference=Differences(mean=0.0123456, p50=0.01, p95=0.02, p99=0.03, max=0.25),
    latency=LATENCY,
    champion_latency=LATENCY.model_copy(update={"p95_ms": 1.5}),
)


def panel(figures: ShadowFigures | None, *, trouble: str | None = None) -> str:
    """The panel in HTML."""
    status = ShadowStatus(
        shadow=ShadowState(version="7", share=25.0),
        figures=figures,
        rows=[],
        replicas=2,
        replicas_ready=1,
        trouble=trouble,
        timestamp=now(),
    )
    state = SimpleNamespace(shadow=status, mlflow_model_url="http://mlflow.example.com/#/models/m")
    return create_templates().get_template("shadow.html").render(state=state)


def test_the_panel_shows_how_the_answers_compare() -> None:
    html = panel(FIGURES)

    assert "answers a copy of <strong>25 %</strong> of the requests" in html
    assert "1 of 2 replicas hold the version" in html
    assert "<dt>Agreement</dt><dd>99.9 %</dd>" in html
    assert "<dt>Rows</dt><dd>1,234</dd>" in html
    assert '<dt>Errors</dt><dd class="wrong">2</dd>' in html
    assert "<dt>p95 of 7</dt><dd>2.5 ms</dd>" in html
    assert "<dt>p95 of 6</dt><dd>1.5 ms</dd>" in html
    assert "Difference of the probabilities" in html
    assert '<td class="number">0.0123</td>' in html
    assert "Last error: Value&lt;Error&gt;" in html
    assert 'href="http://mlflow.example.com/#/models/m/versions/7"' in html


def test_a_regressor_has_no_agreement() -> None:
    html = panel(FIGURES.model_copy(update={"agreement": None}))

    assert "Agreement" not in html
    assert "Difference of the answers" in html


def test_a_shadow_without_a_copy_says_so_with_its_trouble() -> None:
    html = panel(None, trouble="It is <damaged>.")

    assert "Version 7 has not received a copy of a request yet." in html
    assert '<p class="notice bad">It is &lt;damaged&gt;.</p>' in html
