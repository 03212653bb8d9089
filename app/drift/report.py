"""A judgement as text, as an HTML page without external files, and as metrics of an MLflow run."""

from collections.abc import Iterator
from html import escape
from typing import Final

from app.drift.columns import ColumnChange
from app.drift.judge import Judgement
from app.drift.scores import ScoreChange
from app.records.drift_runs import DRIFT, ESTIMATED_SCORE, REALISED_SCORE, SCORE_FELL

COLUMNS_SHOWN: Final = 10
"""Number of columns that the text shows. The page shows all."""

BAR_PIXELS: Final = 120

STYLE: Final = """
body { font: 15px system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color-scheme: light dark; }
table { border-collapse: collapse; } th, td { padding: .2rem .7rem; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .alarm { font-weight: 600; }
svg rect.frame { fill: none; stroke: currentColor; opacity: .3; } svg rect.bar { fill: #3b7dd8; }
"""


def lines(judgement: Judgement) -> Iterator[str]:
    """Yield the lines of the command's output."""
    yield f"{judgement.verdict} ({judgement.rows} {'row' if judgement.rows == 1 else 'rows'})"
    yield from (f"  alarm: {reason}" for reason in judgement.reasons)
    yield from (f"  note: {note}" for note in judgement.notes)
    yield from (f"  {name}: {result}" for name, result in _checks(judgement))
    changed = [column for column in judgement.columns if column.is_changed]
    yield from (f"  {_describe_column(column)}" for column in changed[:COLUMNS_SHOWN])
    if len(changed) > COLUMNS_SHOWN:
        yield f"  and {len(changed) - COLUMNS_SHOWN} more columns"


def metrics(judgement: Judgement) -> dict[str, float]:
    """Return the numbers of a judgement as metrics of a run."""
    values = {
        DRIFT: float(judgement.verdict == "drift"),
        SCORE_FELL: float(bool(judgement.fallen_scores)),
        "rows": float(judgement.rows),
        "columns_changed": float(sum(column.is_changed for column in judgement.columns)),
        "columns_alarming": float(sum(column.is_alarming for column in judgement.columns)),
    }
    if judgement.separation is not None:
        values["auc"] = judgement.separation.auc
    scores = ((ESTIMATED_SCORE, judgement.estimated), (REALISED_SCORE, judgement.realised))
    for key, score in ((key, score) for key, score in scores if score is not None):
        values |= {key: score.after, f"{key}_low": score.low, f"{key}_high": score.high, f"{key}_before": score.before}
    return values


def page(judgement: Judgement, *, title: str) -> str:
    """Return an HTML page.

    Args:
        judgement: The judgement.
        title: The version and the period.
    """
    reasons = "".join(f"<li class=alarm>{escape(reason)}</li>" for reason in judgement.reasons)
    notes = "".join(f"<li>{escape(note)}</li>" for note in judgement.notes)
    checks = "".join(
        f"<p><b>{escape(name.capitalize())}</b>: {escape(result)}</p>" for name, result in _checks(judgement)
    )
    rows = "".join(map(_table_row, judgement.columns))
    names = ("column", "effect", "", "shift, sd", "missing", "missing before", "unseen texts", "influence", "p", "")
    header = "".join(f"<th>{name}</th>" for name in names)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(judgement.verdict.capitalize())}</h1><p>{escape(title)}, {judgement.rows} rows</p>"
        f"<ul>{reasons}{notes}</ul>{checks}<table><tr>{header}</tr>{rows}</table></html>"
    )


def _scores(judgement: Judgement) -> Iterator[tuple[str, ScoreChange]]:
    if judgement.estimated is not None:
        yield "estimated score", judgement.estimated
    if judgement.realised is not None:
        yield "realised score", judgement.realised


def _checks(judgement: Judgement) -> Iterator[tuple[str, str]]:
    """Yield the name and the result of each check that judges no single column."""
    for name, score in _scores(judgement):
        yield name, _describe_score(score)
    if judgement.separation is not None:
        yield "all columns at once", f"AUC {judgement.separation.auc:.3f}, p {judgement.separation.p_value:.2g}"
    if judgement.answers is not None:
        yield "answers", f"effect {judgement.answers.effect:.3f}, p {judgement.answers.p_value:.2g}"


def _describe_score(score: ScoreChange) -> str:
    return (
        f"{score.metric} {score.after:.4f} [{score.low:.4f}, {score.high:.4f}] on {score.rows} rows, "
        f"{score.before:.4f} on the held-out rows"
    )


def _describe_column(column: ColumnChange) -> str:
    parts = [f"effect {column.effect:.3f}", f"p {column.p_value:.2g}"]
    if column.shift is not None:
        parts.append(f"shift {column.shift:+.2f} sd")
    if column.unseen:
        parts.append(f"{column.unseen:.1%} unseen texts")
    if column.missing != column.missing_before:
        parts.append(f"missing {column.missing_before:.1%} to {column.missing:.1%}")
    note = "" if column.is_alarming else "; too little influence on the answers for an alarm"
    return f"column {column.name!r} changed: {', '.join(parts)}{note}"


def _table_row(column: ColumnChange) -> str:
    numbers = (
        _number(column.shift, "{:+.2f}"),
        _number(column.missing, "{:.1%}"),
        _number(column.missing_before, "{:.1%}"),
        _number(column.unseen, "{:.1%}"),
        _number(column.influence, "{:.3f}"),
        _number(column.p_value, "{:.2g}"),
    )
    mark = "alarm" if column.is_alarming else "changed" if column.is_changed else ""
    bar = (
        f"<svg width={BAR_PIXELS} height=12 role=img aria-label='effect {column.effect:.3f}'>"
        f"<rect class=frame width={BAR_PIXELS} height=12></rect>"
        f"<rect class=bar width={column.effect * BAR_PIXELS:.1f} height=12></rect></svg>"
    )
    cells = "".join(f"<td class=number>{number}</td>" for number in numbers)
    return (
        f"<tr class='{mark}'><td>{escape(column.name)}</td><td class=number>{column.effect:.3f}</td><td>{bar}</td>"
        f"{cells}<td>{mark}</td></tr>"
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
