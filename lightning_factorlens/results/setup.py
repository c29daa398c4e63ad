"""What an observation was made of and with, so that two observations are compared only where that makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setup:
    """The samples, the model, the layers and the options of an observation, as numbers and texts.

    Attributes:
        version: Version of this package.
        model: Name of the model's class.
        n_samples: Number of samples in the probe; 0 where the observation read none.
        sample_shape: Shape of one sample as the model takes it.
        probe: Fingerprint of the probe's inputs, equal for inputs that are equal bit for bit; empty where the
            observation read none.
        n_layers: Number of layers that were captured.
        layers: Fingerprint of their names and shapes; empty where none were.
        ranks: The ranks of the factorisation; empty where nothing was factorised.
        options: The options of the lens that are not the default ones, as text by name.
        measurements: The measurements that have options, as text by name.
        outputs: What the model's output is read as, e.g. ``"classes"``; ``"unknown"`` where that is not known.

    Example:
        >>> setup = Setup(n_samples=256, sample_shape=(3, 32, 32), probe="c804ce198ec337e3", n_layers=7)
        >>> setup.samples_text
        '256 samples of shape 3×32×32'
    """

    version: str = ""
    model: str = ""
    n_samples: int = 0
    sample_shape: tuple[int, ...] = ()
    probe: str = ""
    n_layers: int = 0
    layers: str = ""
    ranks: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    measurements: Mapping[str, str] = field(default_factory=dict)
    outputs: str = ""

    @property
    def samples_text(self) -> str:
        """The number of samples and their shape, in words."""
        noun = "sample" if self.n_samples == 1 else "samples"
        shape = "×".join(map(str, self.sample_shape))
        return f"{self.n_samples} {noun} of shape {shape}" if shape else f"{self.n_samples} {noun}"
