"""Attributes of tensors exist."""

import torch

from lightning_factorlens._private_api import tensors


def test_attributes_of_tensors_exist():
    tensor = torch.rand(4, 4)
    assert tensors.tensor_base(tensor[1:]) is tensor
    assert tensors.tensor_base(tensor) is None
    version = tensors.tensor_version(tensor)
    tensor.add_(1)
    assert tensors.tensor_version(tensor) == version + 1
    with torch.inference_mode():
        assert tensors.tensor_version(torch.rand(2)) is None
