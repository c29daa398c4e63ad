"""Signals that several processes have measured for their share of the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.results import ProbeSignals


def join_signals(parts: Sequence[ProbeSignals]) -> ProbeSignals:
    """The signals of all samples.

    Args:
        parts: The signals that each process has measured for consecutive samples with the same weights; the first one
            has samples, others may have none.

    Returns:
        The signals of all samples, in the order of the parts.

    Example:
        >>> from lightning_factorlens.results import Signals
        >>> first = Signals("fc", torch.ones(2, 1), torch.ones(1), torch.zeros(1))
        >>> second = Signals("fc", torch.ones(3, 1), torch.ones(1), torch.zeros(1))
        >>> join_signals([ProbeSignals({"fc": first}, {}), ProbeSignals({"fc": second}, {})])["fc"].values.shape
        torch.Size([5, 1])
    """
    if len(parts) == 1:
        return parts[0]
    joined = {}
    for layer in parts[0]:
        found = [part[layer] for part in parts if layer in part]
        joined[layer] = replace(
            found[0],
            values=torch.cat([signals.values for signals in found]),
            maxima=_join([signals.maxima for signals in found]),
            minima=_join([signals.minima for signals in found]),
        )
    return ProbeSignals(joined, parts[0].skipped)


def _join(parts: Sequence[Tensor | None]) -> Tensor | None:
    tensors = [part for part in parts if part is not None]
    return torch.cat(tensors) if tensors else None
