"""The four perturbed probes of a run: those of the lens for its kind of input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.metrics.consistency import default_shift
from lightning_factorlens.metrics.perturbation import FeatureDropout, Perturbation, TokenMask


@dataclass(frozen=True)
class PerturbedProbe:
    """A probe under a perturbation.

    Attributes:
        name: Name in the raw file.
        inputs: The perturbed samples.
        back: Rolls (down, right) that bring the outputs of pixels back into place.
    """

    name: str
    inputs: Tensor
    back: tuple[int, int] = (0, 0)

    def aligned(self, logits: Tensor) -> Tensor:
        """Outputs of pixels (N, K, H, W) rolled back; other outputs unchanged."""
        return logits.roll(self.back, (-2, -1)) if logits.ndim == 4 else logits


def shift_size(probe: Tensor) -> int:
    """Pixels or steps of the lens's shift: a sixteenth of the shorter side; 0 for tables and tokens."""
    if probe.ndim == 3:
        return max(1, probe.shape[-1] // 16)
    return default_shift(probe) or 0


def perturbed_probes(probe: Tensor) -> list[PerturbedProbe]:
    """The four perturbed probes.

    Args:
        probe: Images (N, C, H, W), series (N, C, T), a table (N, D), or token ids (N, T).
    """
    size = shift_size(probe)
    if probe.ndim == 4:
        probes = []
        for down, right in ((1, 1), (-1, -1), (1, -1), (-1, 1)):
            rolls = (down * size, right * size)
            name = "shift" + "".join("+p" if sign > 0 else "-p" for sign in (down, right))
            probes.append(PerturbedProbe(name, probe.roll(rolls, (-2, -1)), (-rolls[0], -rolls[1])))
        return probes
    if probe.ndim == 3:
        steps = {"time+s": size, "time-s": -size, "time+2s": 2 * size, "time-2s": -2 * size}
        return [PerturbedProbe(name, probe.roll(step, -1)) for name, step in steps.items()]
    perturbation: Perturbation = FeatureDropout() if probe.is_floating_point() else TokenMask()
    name = "features" if probe.is_floating_point() else "tokens"
    draws = [perturbation.apply(probe, torch.Generator().manual_seed(k)) for k in range(4)]
    return [PerturbedProbe(f"{name}{k}", drawn) for k, drawn in enumerate(draws)]
