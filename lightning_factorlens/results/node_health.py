"""Which units are dead, rarely active or active in single pixels, as tests over a probe decide it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results._text import align_table
from lightning_factorlens.results.by_layer import ByLayer
from lightning_factorlens.results.plottable import Plottable

#: What a unit can be found to be. The first three are findings.
VERDICTS = ("dead", "rare", "single pixel", "active", "undecided")
FINDINGS = VERDICTS[:3]
CAVEAT = "These tests do not find memorisation: a filter that is a piece of one image answers to other images too"


@dataclass(frozen=True, eq=False, repr=False)
class LayerHealth(ShortRepr):
    """The units of one layer.

    Attributes:
        name: Name of the layer.
        n_images: Number of images N.
        rate: Share of the images ε in which a unit must be active not to be dead or rare.
        level: Level α of the tests, at which the false discovery rate among the units of the layer is controlled.
        fires: Number of images in which each unit is active anywhere, shape (units,), int64.
        single_pixel: In how many of these at most two pixels hold its activity, shape (units,), int64; None where the
            layer has too few positions.
        p_lazy: Probability that a unit that is active in a share of ε is active in so few images, shape (units,).
        p_single: Probability that a unit whose activity is spread over more than two pixels in half of the images is
            confined to two in so many, shape (units,); None as ``single_pixel``.
        verdicts: One of `VERDICTS` for each unit.
    """

    name: str
    n_images: int
    rate: float
    level: float
    fires: Tensor
    single_pixel: Tensor | None
    p_lazy: Tensor
    p_single: Tensor | None
    verdicts: tuple[str, ...]

    @property
    def images_needed(self) -> int:
        """The images below which nothing is decided: ln(units / α) / ε, rounded up."""
        needed = math.log(len(self.verdicts) / self.level) / self.rate
        return math.ceil(round(needed, 6))  # a rate that was derived from the number of images gives that number

    @property
    def is_decided(self) -> bool:
        """Whether the probe is large enough for a dead unit to be found among so many."""
        return self.n_images >= self.images_needed

    def units(self, *verdicts: str) -> list[int]:
        """The units with one of some verdicts."""
        return [unit for unit, verdict in enumerate(self.verdicts) if verdict in verdicts]

    @property
    def flagged_share(self) -> float:
        """Share of the units that are dead, rare or active in single pixels; NaN where the probe is too small."""
        return len(self.units(*FINDINGS)) / len(self.verdicts) if self.is_decided else math.nan


@dataclass(frozen=True, eq=False, repr=False)
class NodeHealthResult(ByLayer[LayerHealth], ShortRepr, Plottable):
    """The units of all layers that were tested; from `node_health`.

    Attributes:
        layers: By their names, in the order of the forward pass.
    """

    layers: Mapping[str, LayerHealth]

    def table(self, untrained: NodeHealthResult | None = None) -> str:
        """The layers, one row each: how many units have each verdict.

        Args:
            untrained: The result of the untrained network, whose findings are shown beside: what it has as well is no
                trace of training.

        Returns:
            Text of several lines, with what the tests cannot find.
        """
        header = ["layer", "units", *VERDICTS]
        if untrained is not None:
            header += [f"untrained {verdict}" for verdict in FINDINGS]
        rows = []
        for name, layer in self.layers.items():
            counts = [str(len(layer.units(verdict))) for verdict in VERDICTS]
            cells = [name or "(the model)", str(len(layer.verdicts)), *counts]
            if untrained is not None:
                cells += _counts(untrained.layers.get(name))
            rows.append(cells)
        lines = align_table(header, rows, right=range(1, len(header)))
        for layer in self.layers.values():
            lines.append(_conditions(layer))
        return "\n".join([*dict.fromkeys(lines), CAVEAT])


def _counts(layer: LayerHealth | None) -> list[str]:
    """How many units have each finding; dashes where there is no such layer."""
    return ["-" if layer is None else str(len(layer.units(verdict))) for verdict in FINDINGS]


def _conditions(layer: LayerHealth) -> str:
    """Under which conditions the verdicts of a layer were reached."""
    if not layer.is_decided:
        return (
            f"{layer.name or '(the model)'}: undecided, since {layer.n_images} images are fewer than the "
            f"{layer.images_needed} that {len(layer.verdicts)} units need"
        )
    return (
        f"{layer.n_images} images; dead or rare: active in fewer than {layer.rate:.2g} of them; false discovery rate "
        f"{layer.level:g} among the units of a layer"
    )
