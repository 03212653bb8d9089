"""Markdown pages as tests read them: code blocks, links and the anchors of headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

PAGES = sorted(
    path
    for pattern in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file()
)
"""Every page of the documentation."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of code."""

    language: str
    content: str
    line: int
    """Where the block starts in the page, for messages."""
    comment: str
    """Text of the HTML comment right above the block; empty if there is none."""


class Page:
    """A page of Markdown.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def tokens(self) -> list[Token]:
        """The page as markdown-it reads it."""
        return MarkdownIt("commonmark").enable("table").parse(self.path.read_text(encoding="utf-8"))

    @property
    def blocks(self) -> Iterator[Block]:
        """The fenced blocks in order."""
        for previous, token in pairwise([Token("", "", 0), *self.tokens]):
            if token.type == "fence":
                comment = re.fullmatch(r"<!--(.*?)-->\s*", previous.content, re.DOTALL)
                yield Block(
                    language=token.info.strip(),
                    content=token.content,
                    line=token.map[0] + 1 if token.map else 0,
                    comment=comment[1].strip() if comment and previous.type == "html_block" else "",
                )

    @property
    def links(self) -> Iterator[str]:
        """Targets of links and images."""
        for token in self.tokens:
            for child in token.children or ():
                target = child.attrGet("href") or child.attrGet("src")
                if target is not None:
                    yield str(target)

    @cached_property
    def anchors(self) -> set[str]:
        """Anchors of the headings, as forges derive them, and those that HTML in the page defines."""
        anchors: set[str] = set()
        for opening, inline in pairwise(self.tokens):
            if opening.type == "heading_open":
                text = "".join(child.content for child in inline.children or ())
                slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
                duplicates = sum(1 for anchor in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor))
                anchors.add(f"{slug}-{duplicates}" if duplicates else slug)
        return anchors | set(re.findall(r'<a (?:id|name)="([^"]+)"', self.path.read_text(encoding="utf-8")))


@cache
def page(path: Path) -> Page:
    """The page of a file, read once."""
    return Page(path)
