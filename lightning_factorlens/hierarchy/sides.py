"""The signals of both sides of the singular vectors, by their means or their extrema over positions."""

from __future__ import annotations

from torch import Tensor

from lightning_factorlens._validation import check_choice
from lightning_factorlens.results import Signals


def both_sides(signals: Signals, statistic: str, argument: str) -> tuple[Tensor, Tensor]:
    """How strongly every image excites the positive and the negative side of every vector, each of shape (N, r).

    Args:
        signals: The signals of a layer.
        statistic: ``"mean"``: the means over positions and their negatives; ``"extremum"``: the maxima, and the
            negatives of the minima.
        argument: Name of the caller's argument for ``statistic``, for the messages.

    Raises:
        ValueError: Another ``statistic``, or signals without extrema.

    Example:
        >>> import torch
        >>> signals = Signals("fc", torch.tensor([[1.0, -2.0]]), torch.ones(2), torch.zeros(2))
        >>> [side.tolist() for side in both_sides(signals, "mean", "by")]
        [[[1.0, -2.0]], [[-1.0, 2.0]]]
    """
    check_choice(argument, statistic, ("mean", "extremum"))
    if statistic == "mean":
        return signals.values, -signals.values
    if signals.maxima is None or signals.minima is None:
        raise ValueError(
            f"{argument}: 'extremum' needs the maxima and minima over positions, which the signals of layer "
            f"{signals.layer!r} do not have; compute the signals with extrema=True, or pass {argument}='mean'."
        )
    return signals.maxima, -signals.minima
