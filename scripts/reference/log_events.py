"""docs/reference/log-events.md: the members of the service's JSON log lines, and its events."""

from typing import Final

from app.serving.event_log import events
from scripts.reference.markdown import code, code_list, table
from scripts.reference.markdown import page as markdown_page

INTRODUCTION: Final = """\
With `logFormat: json` each replica writes its log to the output of its pod, and with `manta local --log-format json` to
`.manta/logs/service.jsonl`: one JSON object a line. A line about a change names its event. Lines without `event` say
more, for a person. [See what happened](../how-to/see-what-happened.md) shows how to read them."""

MEMBERS: Final = {
    "time": "Time in UTC, in ISO 8601.",
    "level": "`INFO`, `WARNING` or `ERROR`.",
    "replica": "Name of the replica, as in `GET /model`.",
    "message": "The sentence of the text log. Of a text of more than 1,500 characters the line has the end.",
    "event": "Name of the event.",
    "request_id": "Header `X-Request-Id` of the request that caused the line.",
    "exception": "Traceback of an unexpected error.",
}


def page() -> str:
    """The page."""
    blocks = [
        INTRODUCTION,
        "## Members of every line",
        "`event`, `request_id` and `exception` stand in a line only if there is a value.",
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
