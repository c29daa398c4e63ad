"""Writes the figures that a report quotes beside its answers into the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lightning_factorlens.report.certainty import FIGURES_FILE


def write_certainty(changes: Mapping[str, Any]) -> None:
    """Replaces some of the figures.

    Args:
        changes: New figures by their key: ``"answers"`` or ``"stop"``.
    """
    content = json.loads(FIGURES_FILE.read_text(encoding="utf-8"))
    content.update(changes)
    FIGURES_FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
