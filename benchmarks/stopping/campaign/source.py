"""The samples from which the runs of a task draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
#: Number of different tokens of the token sequences.
TOKENS = 12


@dataclass(frozen=True)
class Source:
    """The samples from which the runs of a task draw.

    Attributes:
        labeled_x: Shape (n, …), float32, or int64 for tokens.
        labeled_y: Labels: (n,); (n, 2) for pairs of digits; (n, H, W) for masks.
        other_x: Samples for probe and hidden test; in the third part for the hidden test alone.
        other_y: Their labels.
        classes: Number of outputs of each sample or pixel.
    """

    labeled_x: Array
    labeled_y: Array
    other_x: Array
    other_y: Array
    classes: int
