"""The scores of objectives: of each image its own objective, or all objectives of every image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from lightning_factorlens.visualization.objective_base import Objective
from lightning_factorlens.visualization.readings import LayerOutput, Reading

#: Largest number of values in the maps of signals that are held at once.
MAX_VALUES = 2**23


@dataclass(frozen=True, eq=False)
class TermGroup:
    """Terms of one layer that are read alike.

    Attributes:
        axis: Axis of the channels.
        pooling: See `Reading`.
        targets: The objective of each term, shape (terms,).
        weights: The weight of each term, shape (terms,).
        directions: Shape (terms, channels).
        offsets: Shape (terms,).
        positions: Shape (terms,).
    """

    axis: int
    pooling: str
    targets: Tensor
    weights: Tensor
    directions: Tensor
    offsets: Tensor
    positions: Tensor

    @cached_property
    def is_in_order(self) -> bool:
        """Whether the terms are those of consecutive objectives."""
        return len(self.targets) > 0 and bool(
            (self.targets == torch.arange(len(self.targets), device=self.targets.device)).all()
        )

    def own_scores(self, output: Tensor) -> Tensor:
        """The weighted term of each image's own objective: image i of the output has objective i.

        Args:
            output: Output of the layer, shape (objectives, …).

        Returns:
            Shape (terms,).
        """
        maps = channels_first(output, self.axis)
        if self.pooling == "mean":
            maps = maps.mean(2, keepdim=True)
        if not (self.is_in_order and len(self.targets) == len(maps)):
            maps = maps[self.targets]
        if self.pooling == "position":
            maps = maps.gather(2, self.positions[:, None, None].expand(-1, maps.shape[1], 1))
        signals = torch.bmm(self.directions[:, None], maps).squeeze(1)
        values = signals.amax(1) if self.pooling == "max" else signals[:, 0]
        return self.weights * (values - self.offsets)

    def select(self, place: Tensor) -> TermGroup:
        """The terms of some objectives.

        Args:
            place: The new number of every objective, shape (objectives,); −1 for those that are left out.
        """
        targets = place.to(self.targets.device)[self.targets]
        kept = targets >= 0
        return replace(
            self,
            targets=targets[kept],
            weights=self.weights[kept],
            directions=self.directions[kept],
            offsets=self.offsets[kept],
            positions=self.positions[kept],
        )

    def all_scores(self, output: Tensor) -> Tensor:
        """The weighted terms of all objectives for every image.

        Args:
            output: Output of the layer for n images.

        Returns:
            Shape (n, terms).
        """
        maps = channels_first(output, self.axis)
        if self.pooling == "mean":
            values = maps.mean(2) @ self.directions.T
        elif self.pooling == "position":
            values = torch.einsum("nct,tc->nt", maps[:, :, self.positions], self.directions)
        else:
            values = torch.cat([self._largest(maps, rows) for rows in self._parts(maps)], 1)
        return self.weights * (values - self.offsets)

    def _parts(self, maps: Tensor) -> Sequence[Tensor]:
        size = max(1, MAX_VALUES // (maps.shape[0] * maps.shape[2]))
        return torch.arange(len(self.targets), device=maps.device).split(size)

    def _largest(self, maps: Tensor, rows: Tensor) -> Tensor:
        return torch.einsum("tc,ncp->ntp", self.directions[rows], maps).amax(2)


def channels_first(output: Tensor, axis: int) -> Tensor:
    """The output of a layer with its positions along one axis.

    Args:
        output: Shape (n, …).
        axis: Axis of the channels.

    Returns:
        Shape (n, channels, positions), float32.

    Example:
        >>> tuple(channels_first(torch.zeros(2, 4, 5, 3), 3).shape), tuple(channels_first(torch.zeros(2, 3), 1).shape)
        ((2, 3, 20), (2, 3, 1))
    """
    moved = output.movedim(axis, 1).float()
    return moved.flatten(2) if moved.ndim > 2 else moved[:, :, None]


@dataclass(frozen=True, eq=False)
class Scores:
    """Objectives, ready to be read from the outputs of layers.

    Attributes:
        n_targets: Number of objectives.
        groups: The terms by the name of their layer.
    """

    n_targets: int
    groups: Mapping[str, Sequence[TermGroup]]

    @staticmethod
    def of(objectives: Sequence[Objective], outputs: Mapping[str, LayerOutput]) -> Scores:
        """Prepares objectives.

        Args:
            objectives: The objectives.
            outputs: What a forward pass has shown of every layer.

        Raises:
            ValueError: A layer has no such unit.
        """
        found: dict[tuple[str, int, str], list[tuple[int, float, Reading]]] = defaultdict(list)
        for target, objective in enumerate(objectives):
            for weight, term in objective.terms():
                reading = term.reading(outputs[term.layer])
                found[term.layer, reading.axis, reading.pooling].append((target, weight, reading))
        groups: dict[str, list[TermGroup]] = defaultdict(list)
        for (layer, axis, pooling), entries in found.items():
            groups[layer].append(_group(axis, pooling, entries, outputs[layer].device))
        return Scores(len(objectives), groups)

    def select(self, rows: Tensor) -> Scores:
        """Some of the objectives, in the order of ``rows``."""
        place = torch.full((self.n_targets,), -1, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        groups: dict[str, list[TermGroup]] = {}
        for layer, found in self.groups.items():
            groups[layer] = [group.select(place) for group in found]
        return Scores(len(rows), groups)

    def own(self, layer: str, output: Tensor, total: Tensor) -> Tensor:
        """Adds what one layer gives to the score of each image; see `TermGroup.own_scores`."""
        for group in self.groups.get(layer, ()):
            total = total.index_add(0, group.targets.to(total.device), group.own_scores(output).to(total.device))
        return total

    def all(self, layer: str, output: Tensor, total: Tensor) -> Tensor:
        """Adds what one layer gives to the scores (n, objectives) of n images."""
        for group in self.groups.get(layer, ()):
            total = total.index_add(1, group.targets.to(total.device), group.all_scores(output).to(total.device))
        return total


def _group(axis: int, pooling: str, entries: Sequence[tuple[int, float, Reading]], device: torch.device) -> TermGroup:
    readings = [reading for _, _, reading in entries]
    return TermGroup(
        axis,
        pooling,
        torch.tensor([target for target, _, _ in entries], device=device),
        torch.tensor([weight for _, weight, _ in entries], device=device),
        torch.stack([reading.direction for reading in readings]),
        torch.tensor([reading.offset for reading in readings], device=device),
        torch.tensor([reading.position for reading in readings], device=device),
    )
