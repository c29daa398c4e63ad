"""Seeds the global random states of the CPU."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_cpu(seed: int) -> None:
    """Seeds the generators that random transforms use; `torch.manual_seed` would also seed those of accelerators."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
