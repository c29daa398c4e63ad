"""Averages of a run's weights, measured as if they were handed to the user."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

#: Epochs within which the exponential average forgets.
HORIZON = 5


def floating_state(model: nn.Module) -> list[Tensor]:
    """Weights and statistics of batch norms, not copied."""
    return [value for value in model.state_dict().values() if value.is_floating_point()]


def flat(model: nn.Module) -> Tensor:
    """A copy of `floating_state` as one vector."""
    return torch.cat([value.reshape(-1) for value in floating_state(model)])


@torch.no_grad()
def load_flat(model: nn.Module, vector: Tensor) -> None:
    """Gives a model the weights and statistics of a vector from `flat`."""
    targets = floating_state(model)
    pieces = vector.split([target.numel() for target in targets])
    for target, piece in zip(targets, pieces):
        target.copy_(piece.view_as(target))


class Averages:
    """Two averages of the weights and statistics of a model.

    ``ema`` forgets exponentially (Polyak and Juditsky 1992; per step, as in Tarvainen and Valpola 2017, "Mean
    teachers"); ``swa`` is the plain mean over the ends of the later half of the epochs so far, after Izmailov et al.
    (2018), "Averaging weights leads to wider optima". Statistics of batch norms are averaged and not measured anew.

    Args:
        model: The model as it is before training.
        steps_per_epoch: Optimizer steps in an epoch.

    Attributes:
        epochs: The weights and statistics at the end of every epoch, one vector each.
    """

    def __init__(self, model: nn.Module, steps_per_epoch: int) -> None:
        self.epochs: list[Tensor] = []
        self._share = 1 / (HORIZON * steps_per_epoch)
        self._ema = copy.deepcopy(model).eval()
        self._swa = copy.deepcopy(model).eval()
        self._pairs = list(zip(floating_state(self._ema), floating_state(model)))

    @torch.no_grad()
    def after_step(self) -> None:
        """Updates the exponential average."""
        for average, value in self._pairs:
            average.lerp_(value, self._share)

    @torch.no_grad()
    def after_epoch(self, model: nn.Module) -> dict[str, nn.Module]:
        """Models with the averaged weights, in eval mode, by name."""
        self.epochs.append(flat(model))
        later = self.epochs[len(self.epochs) // 2 :]
        load_flat(self._swa, torch.stack(later).mean(0))
        return {"ema": self._ema, "swa": self._swa}
