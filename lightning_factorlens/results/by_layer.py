"""What records of several layers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class ByLayer(Generic[T]):
    """Results of several layers, read by the layer's name.

    Attributes:
        layers: By their names, in the order of the forward pass.
    """

    layers: Mapping[str, T]

    def __getitem__(self, name: str) -> T:
        if name not in self.layers:
            raise KeyError(f"no layer {name!r}; the layers are {', '.join(map(repr, self.layers))}")
        return self.layers[name]
