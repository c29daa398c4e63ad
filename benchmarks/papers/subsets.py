"""Figure 2(b): networks trained on 0.1, 1, 10 and 100 % of the images."""

from __future__ import annotations

from typing import Any

from benchmarks.papers.networks import Networks, TrainingSet

TITLE = "Trained on some of the images (Fig. 2b)"
GROUPS = {f"{n:,} images": (float(n), TrainingSet(images=n)) for n in (60, 600, 6_000, 60_000)}


def measure(networks: Networks) -> list[dict[str, Any]]:
    """All groups and both controls, with all seeds."""
    return networks.measure(GROUPS)
