"""docs/reference/log-events.md: the members of the service's JSON log lines, and its events."""

from typing import Final

from app.serving.event_log import events
from app.serving.event_log.json_lines import MAX_LINE_BYTES, MAX_TEXT
from scripts.reference.markdown import code, code_list, table
from scripts.reference.markdown import page as markdown_page

INTRODUCTION: Final = """\
With `logFormat: json` each replica writes its log to the output of its pod, and with `manta local --log-format json` to
`.manta/logs/service.jsonl`: one JSON object per line. A line about a change names its event. Lines without `event` give
further details, for people to read. [See what happened](../how-to/see-what-happened.md) shows how to read them."""

MEMBERS: Final = {
    "time": "Time in UTC, in ISO 8601.",
    "level": "`INFO`, `WARNING` or `ERROR`.",
    "replica": "Name of the replica, as in `GET /model`.",
    "message": "The sentence of the text log.",
    "event": "Name of the event.",
    "request_id": "Header `X-Request-Id` of the request that caused the line.",
    "exception": "Traceback of an unexpected error.",
}

OPTIONAL_MEMBERS: Final = f"""\
A line has `event`, `request_id` and `exception` only if there is a value. A text of more than {MAX_TEXT:,} characters
is cut: the line has `...` and the last {MAX_TEXT:,} characters, or fewer if the line would otherwise be longer than
{MAX_LINE_BYTES // 1024} KiB."""


def page() -> str:
    """The page."""
    blocks = [
        INTRODUCTION,
        "## Members of every line",
        OPTIONAL_MEMBERS,
        table(("Member", "Meaning"), ((code(name), meaning) for name, meaning in MEMBERS.items())),
        "## Events",
        table(
            ("Event", "When", "Further members"),
            ((code(event.name), event.when, code_list(event.fields)) for event in events.all_events()),
        ),
        "## Further members",
        table(("Member", "Meaning"), ((code(name), meaning) for name, meaning in sorted(events.FIELDS.items()))),
    ]
    return markdown_page("Log events", source="app/serving/event_log/events.py", blocks=blocks)
