"""A batch as the user's collate function made it, and the number of samples that were collated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DrawnBatch:
    """Some samples of the probe as they were drawn.

    Attributes:
        data: The samples, collated by the user's collate function and moved by the batch-transfer hooks.
        n_samples: Number of samples that were collated; None where the source yields finished batches, whose number of
            samples their tensors tell.
    """

    data: Any
    n_samples: int | None = None
