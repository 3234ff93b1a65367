"""The pages of documentation as tests read them: blocks, links, inline code, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_RUN = re.compile(r"<!-- not run: .+ -->")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    runs: bool
    """False where a comment before it says why it is not run."""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The page without its blocks and comments."""
        return _COMMENT.sub("", _FENCE.sub("", self.text))

    @property
    def blocks(self) -> Iterator[Block]:
        for match in _FENCE.finditer(self.text):
            before = self.text[: match.start()].rstrip("\n").rsplit("\n", 1)[-1]
            line = self.text.count("\n", 0, match.start()) + 1
            yield Block(self.name, line, match.group(2), match.group(3), not NOT_RUN.fullmatch(before.strip()))

    @property
    def codes(self) -> list[str]:
        """Everything in single backticks."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

    def tables(self) -> list[list[list[str]]]:
        """Every table: its rows, each a list of cells; the head comes first, the rule is left out."""
        tables: list[list[list[str]]] = []
        inside = False
        for line in self.prose.split("\n"):
            if not line.startswith("|"):
                inside = False
                continue
            if not inside:
                tables.append([])
                inside = True
            cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            if not set(line) <= set("|-: "):
                tables[-1].append([cell.strip("| ") for cell in cells])
        return tables

    def table(self, *head: str) -> list[list[str]]:
        """The rows below the head of the one table that begins with these columns."""
        found = [table for table in self.tables() if tuple(table[0][: len(head)]) == head]
        assert len(found) == 1, f"{self.name} has {len(found)} tables beginning with {head}"
        return found[0][1:]


def page(name: str) -> Page:
    """The page at a path from the repository's root."""
    return Page(ROOT / name)


PAGES = [Page(path) for path in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md")))]
HANDWRITTEN = [one for one in PAGES if "decisions" not in one.path.parts and one.name != "docs/reference/cli.md"]
