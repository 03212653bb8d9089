"""The pieces of Markdown that the pages of docs/reference consist of."""

from collections.abc import Iterable, Sequence


def page(title: str, *, source: str, blocks: Iterable[str]) -> str:
    """A page: its title, a remark for whoever edits it, and its blocks with an empty line between two of them.

    Args:
        title: Heading of the page.
        source: The files that the page is generated from.
        blocks: Headings, paragraphs and tables; an empty block is left out.
    """
    remark = f"<!-- Generated from {source}. Change the source, then run `make docs`. -->"
    return "\n\n".join([f"# {title}", remark, *(block for block in blocks if block)]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, or nothing where it has no rows; a column without any text is left out."""
    cells = [list(map(_cell, row)) for row in rows]
    shown = [index for index in range(len(header)) if any(row[index] for row in cells)]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line[index] for index in shown) + " |" for line in lines) if cells else ""


def code(value: object) -> str:
    """Text in code style, or nothing where there is no text."""
    text = str(value)
    fence = "``" if "`" in text else "`"
    return fence + text + fence if text else ""


def listed(values: Iterable[object]) -> str:
    """Values in code style, separated by commas."""
    return ", ".join(code(value) for value in values)


def interval(low: float | None, high: float | None) -> str:
    """The range of a number in words, or nothing where it has no limit."""
    if low is None and high is None:
        return ""
    if high is None:
        return f"{low:,} or more"
    return f"{high:,} or less" if low is None else f"{low:,} to {high:,}"


def _cell(text: str) -> str:
    """Text that cannot end its cell or its row."""
    return " ".join(text.split()).replace("|", r"\|")
