"""Figure 2(a): networks trained on 1, 2, 5 and all 10 classes."""

from __future__ import annotations

from typing import Any

from benchmarks.papers.networks import Networks, TrainingSet

TITLE = "Trained on some of the classes (Fig. 2a)"
GROUPS = {f"{n} class{'es' if n > 1 else ''}": (float(n), TrainingSet(classes=n)) for n in (1, 2, 5, 10)}


def measure(networks: Networks) -> list[dict[str, Any]]:
    """All groups and both controls, with all seeds."""
    return networks.measure(GROUPS)
