"""HAProxy's own errors as problem documents, like those of the service.

HAProxy 2.8 answers a request whose headers it cannot read (400), or that do not come in time (408), with a fixed text.
It uses neither `http-error` nor `errorfile` for them.

`app/cli/local/haproxy_errors.py` repeats this module for one machine, because `app` and `infra` do not import each
other; a test compares the two.
"""

from typing import Final

VARIABLE: Final = "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"
"""Environment variable whose value Ray writes into the `defaults` of HAProxy's configuration, after Ray's own error
pages. Ray has no variable for error pages."""

ALGORITHM: Final = "leastconn"
"""Ray's default of that variable."""

ERRORS: Final = {
    502: ("Bad Gateway", "The replica ended before it had answered.", "Send the request again."),
    503: ("Service Unavailable", "No replica takes requests at present.", "Send the request again."),
    504: ("Gateway Timeout", "The replica did not answer in time.", "Send the request again."),
}
"""Title, detail and next step for each status."""

HEADER_TIMEOUT_S: Final = 30
"""Seconds that a client may take to send the headers of a request."""


def balance_setting() -> str:
    """Value of `VARIABLE`: the algorithm, and further lines of HAProxy's configuration."""
    lines = [ALGORITHM, f"timeout http-request {HEADER_TIMEOUT_S}s"]
    for status, (title, detail, next_step) in ERRORS.items():
        # HAProxy 2.8 ignores a text with variables for 502 and 504, so the document has no `instance`.
        document = (
            f'{{"type":"about:blank","title":"{title}","status":{status},"detail":"{detail}",'
            f'"next_step":"{next_step}"}}'
        )
        retry = " hdr Retry-After 1" if title == "Service Unavailable" else ""
        lines.append(f"http-error status {status} content-type application/problem+json string '{document}'{retry}")
    return "\n    ".join(lines)
