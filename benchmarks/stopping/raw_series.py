"""What a raw record collects during one training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor


@dataclass
class RawSeries:
    """Scalars and arrays by name, each a list with one entry per epoch."""

    scalars: dict[str, list[Any]] = field(default_factory=dict)
    arrays: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add_scalars(self, **values: Any) -> None:
        """Appends the scalars (or short lists) of one epoch."""
        for name, value in values.items():
            self.scalars.setdefault(name, []).append(value)

    def add_array(self, name: str, value: Tensor, dtype: type = np.float16) -> None:
        """Appends one array of one epoch."""
        self.arrays.setdefault(name, []).append(value.detach().numpy().astype(dtype))
