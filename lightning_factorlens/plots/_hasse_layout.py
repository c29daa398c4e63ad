"""Where the classes of vectors of a Hasse diagram are drawn, and the lines between them; all lengths in inches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_factorlens.plots.style import SIDE_MARGIN, WIDTH
from lightning_factorlens.results import HierarchyRecord

#: Largest number of classes of vectors that are drawn, and of those in a row.
MAX_DRAWN = 20
COLUMNS = 5
#: Size of a box, the smallest space between boxes of a row, and that between rows.
BOX_HEIGHT = 0.7
GAP = 0.12
BAND = 0.36
#: Where lines lie in a gap, from its middle.
TRACKS = (0.0, 0.03, -0.03, 0.045, -0.045, 0.015, -0.015)
BOX_WIDTH = (WIDTH - 2 * SIDE_MARGIN - (COLUMNS + 1) * GAP) / COLUMNS


@dataclass(frozen=True)
class HasseLayout:
    """The boxes and lines of a diagram; y points down.

    Attributes:
        boxes: The center of each class of vectors that is drawn, by its position in the record.
        lines: For each pair (general, special) the corners of its line.
        height: Height of all rows together.
    """

    boxes: dict[int, tuple[float, float]]
    lines: dict[tuple[int, int], list[tuple[float, float]]]
    height: float


def hasse_layout(record: HierarchyRecord) -> HasseLayout:
    """Places the classes of vectors with the most nodes in rows by their level, general ones above.

    Args:
        record: The hierarchy.
    """
    drawn = most_nodes(record)
    edges = _hasse_between(record, drawn)
    levels = _levels(drawn, edges)
    rows: list[list[int]] = []
    boxes: dict[int, tuple[float, float]] = {}
    for level in range(1, max(levels.values(), default=0) + 1):
        members = [position for position in drawn if levels[position] == level]
        parents = {member: [boxes[a][0] for a, b in edges if b == member] for member in members}
        members.sort(key=lambda member: (_mean(parents[member]), member))
        for start in range(0, len(members), COLUMNS):
            row = members[start : start + COLUMNS]
            y = len(rows) * (BOX_HEIGHT + BAND) + BOX_HEIGHT / 2
            for position, x in zip(row, _places(len(row))):
                boxes[position] = (x, y)
            rows.append(row)
    centers = [[boxes[position][0] for position in row] for row in rows]
    used: dict[tuple[int, float], int] = {}
    lines = {}
    for edge in edges:
        lines[edge] = _route(boxes[edge[0]], boxes[edge[1]], centers, used)
    return HasseLayout(boxes, lines, max(len(rows) * (BOX_HEIGHT + BAND) - BAND, 0.0))


def most_nodes(record: HierarchyRecord) -> list[int]:
    """The positions of the classes of vectors that are drawn: those of the most nodes, in their order."""
    ranked = sorted(range(len(record.equivalence)), key=lambda position: -len(record.equivalence[position].nodes))
    return sorted(ranked[:MAX_DRAWN])


def _hasse_between(record: HierarchyRecord, drawn: Sequence[int]) -> list[tuple[int, int]]:
    """The Hasse diagram of some of the classes of vectors: those between two of them may be left out."""
    sets = {position: frozenset(record.equivalence[position].classes) for position in drawn}
    pairs = [(general, special) for general in drawn for special in drawn if sets[special] < sets[general]]
    edges = []
    for general, special in pairs:
        if not any(sets[special] < sets[other] < sets[general] for other in drawn):
            edges.append((general, special))
    return edges


def _levels(drawn: Sequence[int], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    levels = dict.fromkeys(drawn, 1)
    for general, special in sorted(edges, key=lambda edge: edge[1]):  # a general one has a lower position
        levels[special] = max(levels[special], levels[general] + 1)
    return levels


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _places(count: int) -> list[float]:
    """The centers of the boxes of a row, evenly spaced."""
    space = (WIDTH - 2 * SIDE_MARGIN) / count
    return [SIDE_MARGIN + space * (index + 0.5) for index in range(count)]


def _route(
    start: tuple[float, float],
    end: tuple[float, float],
    rows: Sequence[Sequence[float]],
    used: dict[tuple[int, float], int],
) -> list[tuple[float, float]]:
    """The corners of a line from below one box to above another, through gaps between the boxes of the rows between.

    ``used`` counts the lines in each gap, which lie side by side.
    """
    first = round((start[1] - BOX_HEIGHT / 2) / (BOX_HEIGHT + BAND))
    last = round((end[1] - BOX_HEIGHT / 2) / (BOX_HEIGHT + BAND))
    corners = [(start[0], start[1] + BOX_HEIGHT / 2)]
    for row in range(first + 1, last):
        centers = rows[row]
        middles = [(left + right) / 2 for left, right in zip(centers, centers[1:])]
        edge = GAP / 2 + BOX_WIDTH / 2
        gaps = [centers[0] - edge, *middles, centers[-1] + edge]
        straight = start[0] + (end[0] - start[0]) * (row - first) / (last - first)
        gap = min(gaps, key=lambda gap: abs(gap - straight))
        number = used.get((row, gap), 0)
        used[row, gap] = number + 1
        x = gap + TRACKS[number % len(TRACKS)]
        top = row * (BOX_HEIGHT + BAND)
        corners += [(x, top - 0.04), (x, top + BOX_HEIGHT + 0.04)]
    corners.append((end[0], end[1] - BOX_HEIGHT / 2))
    return corners
