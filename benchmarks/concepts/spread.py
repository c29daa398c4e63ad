"""Figures that are measured in several cases: their means, and the lowest and highest value of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.reporting import markdown_table


@dataclass
class Spread:
    """The values of every figure over the cases.

    Attributes:
        values: Figure → one value for each case.
    """

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, found: dict[str, float]) -> None:
        """Adds the figures of one case."""
        for name, value in found.items():
            self.values.setdefault(name, []).append(float(value))

    def mean(self, name: str) -> float:
        """The mean of a figure over the cases where it has a value."""
        return float(np.nanmean(self.values[name]))

    def lowest(self, name: str) -> float:
        """The smallest value of a figure."""
        return float(np.nanmin(self.values[name]))

    def highest(self, name: str) -> float:
        """The largest value of a figure."""
        return float(np.nanmax(self.values[name]))

    def cell(self, name: str, digits: int = 2) -> str:
        """Mean (lowest to highest), as a cell of a table; a dash where there is no such figure."""
        if name not in self.values:
            return "–"
        values = [f"{value:.{digits}f}" for value in (self.mean(name), self.lowest(name), self.highest(name))]
        return f"{values[0]} ({values[1]} to {values[2]})"

    def table(self, header: str, columns: dict[str, str], rows: dict[str, str], digits: int = 2) -> str:
        """A table in Markdown of the figures ``{row}_{column}``.

        Args:
            header: Heading of the first column.
            columns: Last part of the names → heading.
            rows: First part of the names → heading.
            digits: Decimal places.
        """
        lines = list(self._lines(columns, rows, digits))
        return markdown_table([header, *columns.values()], lines)

    def _lines(self, columns: dict[str, str], rows: dict[str, str], digits: int) -> Iterator[list[str]]:
        for row, title in rows.items():
            yield [title, *(self.cell(f"{row}_{column}", digits) for column in columns)]
