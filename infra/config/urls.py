"""Ports of the URLs of a configuration."""

from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
"""Port of a URL that names no port, by its scheme."""


def port(url: str) -> int:
    """Port of an HTTP URL.

    Raises:
        ValueError: The URL has a port that is not a number from 0 to 65535.
    """
    parts = urlsplit(url)
    return parts.port or DEFAULT_PORTS[parts.scheme]


def with_valid_port(url: str) -> str:
    """Return a URL, or an empty text, unchanged.

    Raises:
        ValueError: The URL has a port that is not a number from 0 to 65535.
    """
    if url:
        port(url)
    return url
