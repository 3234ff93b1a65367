"""What a measurement found: a table for people, values for programs, and the targets it has to meet."""

from __future__ import annotations

import msgspec

Cell = str | int | float | None


class Check(msgspec.Struct, frozen=True):
    """A figure with its target. All targets are of the kind "at most"."""

    what: str
    measured: float
    at_most: float
    aim: float | None = None

    @property
    def holds(self) -> bool:
        return self.measured <= self.at_most

    def __str__(self) -> str:
        aim = f", aim {self.aim:g}" if self.aim is not None else ""
        return f"{'ok  ' if self.holds else 'MISS'} {self.what}: {self.measured:.2f} (at most {self.at_most:g}{aim})"


class Table(msgspec.Struct, frozen=True):
    """One measurement. A cell that could not be measured is `None`."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    checks: list[Check] = []

    def __str__(self) -> str:
        lines = [list(self.columns), *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.columns))]
        drawn = [
            "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(cells))
            for cells in (list(zip(line, widths, strict=True)) for line in lines)
        ]
        rule = "  ".join("─" * width for width in widths)
        return "\n".join(["", self.title, drawn[0], rule, *drawn[1:], *map(str, self.checks)])


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "–"
        case float():
            return f"{cell:,.1f}"
        case int():
            return f"{cell:,}"
        case str():
            return cell
