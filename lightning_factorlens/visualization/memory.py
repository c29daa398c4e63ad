"""How much memory a forward pass with gradients takes for each image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.visualization.layer_reader import LayerReader


def bytes_per_image(reader: LayerReader, images: Tensor) -> int:
    """Bytes of the tensors that autograd keeps of one image, from dry passes of one and of two images.

    Args:
        reader: Reads the layers up to which images pass.
        images: Two images as the model receives them.
    """
    one, two = _kept_bytes(reader, images[:1]), _kept_bytes(reader, images[:2])
    return max(two - one, images[0].numel() * images.element_size())


def _kept_bytes(reader: LayerReader, images: Tensor) -> int:
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    outputs: list[Tensor] = []  # keeps the graph, so that no memory is used twice
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        reader.run(images.detach().clone().requires_grad_(), lambda _, output: outputs.append(output.float().sum()))
    return sum(sizes.values())
