"""One batch of the probe as the user's collate function made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DrawnBatch:
    """Samples of the probe in one batch.

    Attributes:
        data: What the user's collate function returned, after the batch-transfer hooks.
        n_samples: Number of samples that were collated; None for a batch that the source yields as a whole, whose
            tensors tell the number.
    """

    data: Any
    n_samples: int | None
