"""A measurement with an option, as a user writes it; a YAML file can set the option."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lightning_factorlens.measurements import Measurement, Scalar


@dataclass(frozen=True)
class ActivationQuantile(Measurement):
    """A quantile of all activations."""

    fraction: float = 0.5

    name: ClassVar[str] = "activation_quantile"
    needs: ClassVar[frozenset[str]] = frozenset({"capture"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar("activation_quantile", "{prefix}/activation_quantile", "A quantile of all activations.", monitored=True),
    )

    def measure(self, context):
        """Reads the captured blocks."""
        values = torch.cat([block.samples.flatten() for block in context.capture.layers])
        return {"activation_quantile": float(values.float().quantile(self.fraction))}
