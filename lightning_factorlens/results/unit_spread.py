"""How much the units of several runs of one network have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results._text import align_table
from lightning_factorlens.results.by_layer import ByLayer
from lightning_factorlens.results.plottable import Plottable


@dataclass(frozen=True, eq=False, repr=False)
class LayerSpread(ShortRepr):
    """The units of one layer.

    Attributes:
        cosine: Cosine of every unit with its partner, for every pair of runs, shape (pairs, units), float64; 0 for a
            unit without a partner.
        untrained: Cosine of every unit with its partner, for every pair of untrained networks, whose units have nothing
            in common but their distribution.
    """

    cosine: Tensor
    untrained: Tensor

    @property
    def excess(self) -> float:
        """Mean cosine of the trained networks above that of the untrained ones."""
        return float(self.cosine.mean() - self.untrained.mean())


@dataclass(frozen=True, eq=False, repr=False)
class UnitSpread(ByLayer[LayerSpread], ShortRepr, Plottable):
    """The units of all layers; from `unit_spread`.

    Attributes:
        by: What was compared: ``"filters"`` or ``"responses"``.
        layers: By their names, in the order of the modules.
    """

    by: str
    layers: Mapping[str, LayerSpread]

    def table(self) -> str:
        """The layers, one row each: mean cosine of matched units, and that of the untrained networks.

        Returns:
            Text of several lines.
        """
        header = ("layer", "units", "mean cosine", "lowest pair", "highest pair", "untrained")
        rows = []
        for name, layer in self.layers.items():
            means = layer.cosine.mean(1)
            numbers = (means.mean(), means.min(), means.max(), layer.untrained.mean())
            cells = [f"{float(number):.2f}" for number in numbers]
            rows.append((name, str(layer.cosine.shape[1]), *cells))
        lines = align_table(header, rows, right=range(1, len(header)))
        lines.append(
            f"units matched by their {self.by}, one to one; a cosine that the untrained networks reach as well"
        )
        lines.append("comes from the matching alone")
        return "\n".join(lines)
