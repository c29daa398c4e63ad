"""The ranks of a run before its probe is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from lightning_factorlens._private_api.trainer import validation_data_source
from lightning_factorlens.config import DEFAULT_RANKS, LensOptions


def planned_ranks(trainer: Trainer, source: Any, size: int, options: LensOptions) -> Sequence[int]:
    """The ranks that a probe will have, as far as its number of samples can be known without loading data.

    Args:
        trainer: Its validation dataloader is the source if none is given.
        source: The argument ``probe``.
        size: Largest number of samples.
        options: The lens's options.

    Returns:
        The ranks; default ranks above the number of samples are left out.
    """
    if tuple(options.ranks) != DEFAULT_RANKS:
        return options.ranks
    if source is None:
        source = validation_data_source(trainer).instance
        if isinstance(source, (list, tuple)) and source:
            source = source[0]
    if isinstance(source, DataLoader):
        source = source.dataset
    if isinstance(source, Sized) and not isinstance(source, Mapping):
        try:
            size = min(size, len(source))
        except TypeError:  # a stream without a length
            return options.ranks
    return options.for_samples(max(1, size)).ranks
