"""Exemplary images against a full sort, heat maps against signals, and overlays at their anchors, on real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.hierarchy.cases import CASES, case_images
from benchmarks.networks import network_at, network_checkpoints
from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.hierarchy import (
    VectorCache,
    exemplary_images,
    layer_signals,
    projection_maps,
    similarity_overlay,
)

COUNT = 9
PART = 64
N_MAPS = 6


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the trained networks of one seed."""
    rows = []
    payload: dict[str, Any] = {}
    for name, case in CASES.items():
        images = case_images(name, data_dir)[0][: 200 if quick else 1000]
        model = network_at(name, network_checkpoints(name, 0, data_dir)[-1])
        cache = VectorCache()
        signals = layer_signals(model, images, case.layers, cache=cache)
        for layer in case.layers:
            streamed = exemplary_images(_parts(model, images, layer, cache), COUNT)
            full = _full_sort(signals[layer].values)
            differing = int((streamed.positive != full[0]).sum() + (streamed.negative != full[1]).sum())
            shown = list(range(N_MAPS))
            vectors = list(range(len(signals[layer].s)))
            maps = projection_maps(model, images, layer, shown, vectors, cache=cache)
            values = signals[layer].values[shown]
            map_error = float((maps.signals - values).abs().max() / values.abs().max())
            overlay = similarity_overlay(model, images, layer, 0, cache=cache)
            place: Any = overlay.position
            anchor_error = abs(float(overlay.maps[0][place]) - 1)
            payload[f"{name}/{layer}"] = (differing, map_error, anchor_error)
            rows.append((name, layer, str(differing), f"{map_error:.1e}", f"{anchor_error:.1e}"))
    text = (
        "## Exemplars\n\n`python -m benchmarks.hierarchy --parts exemplars`. Exemplary images of all vectors, on both "
        f"sides, from signals that come in parts of {PART} images: number that a full sort puts elsewhere. Heat maps: "
        "difference of their mean from the signal, relative to the largest. Overlay: difference from 1 at its anchor."
        "\n\n" + markdown_table(("network", "layer", "images elsewhere", "heat maps", "overlay"), rows)
    )
    figures = [
        Figure("hierarchy_exemplars_that_differ", sum(found[0] for found in payload.values()), 0, at_most=True),
        Figure("hierarchy_heat_map_error", max(found[1] for found in payload.values()), 1e-5, at_most=True),
        Figure("hierarchy_overlay_error_at_anchor", max(found[2] for found in payload.values()), 1e-5, at_most=True),
    ]
    return Measured(text, payload, figures)


def _parts(model: Any, images: Tensor, layer: str, cache: VectorCache) -> Any:
    """The signals of one part of the images after the other."""
    for part in images.split(PART):
        yield layer_signals(model, part, layer, cache=cache)[layer]


def _full_sort(values: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the images by value, then by position, both sides, shape (r, COUNT)."""
    positive, negative = [], []
    for column in values.T.tolist():
        positive.append(sorted(range(len(column)), key=lambda row: (-column[row], row))[:COUNT])
        negative.append(sorted(range(len(column)), key=lambda row: (column[row], row))[:COUNT])
    return torch.tensor(positive), torch.tensor(negative)
