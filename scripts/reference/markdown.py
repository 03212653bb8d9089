"""Builds the Markdown of the pages of docs/reference: pages, tables and code."""

from collections.abc import Iterable, Sequence


def page(title: str, *, source: str, blocks: Iterable[str]) -> str:
    """Build a page: its title, a comment that names its source, and its blocks.

    Args:
        title: Heading of the page.
        source: The files that the page is generated from.
        blocks: Headings, paragraphs and tables. Empty blocks are dropped.
    """
    comment = f"<!-- Generated from {source}. Change the source, then run `make docs`. -->"
    return "\n\n".join([f"# {title}", comment, *(block for block in blocks if block)]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Build a table without its empty columns. A table without rows is empty."""
    cells = [list(map(_cell, row)) for row in rows]
    columns = [index for index in range(len(header)) if any(row[index] for row in cells)]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line[index] for index in columns) + " |" for line in lines) if cells else ""


def code(value: object) -> str:
    """Format a text as code. An empty text stays empty."""
    text = str(value)
    fence = "``" if "`" in text else "`"
    return fence + text + fence if text else ""


def code_list(values: Iterable[object]) -> str:
    """Format values as code, separated by commas."""
    return ", ".join(code(value) for value in values)


def interval(low: float | None, high: float | None) -> str:
    """Describe the range of a number. Without limits the text is empty."""
    if low is None and high is None:
        return ""
    if high is None:
        return f"{low:,} or more"
    return f"{high:,} or less" if low is None else f"{low:,} to {high:,}"


def _cell(text: str) -> str:
    """Escape a text so that it cannot end its cell or its row."""
    return " ".join(text.split()).replace("|", r"\|")
