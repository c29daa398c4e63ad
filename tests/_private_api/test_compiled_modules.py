"""The level that torch.compile inserts."""

import torch
from torch import nn

from lightning_factorlens._private_api import compiled_modules


def test_torch_compile_inserts_the_level_that_is_removed():
    model = nn.Sequential(nn.Linear(2, 2), torch.compile(nn.Linear(2, 2), backend="eager"))
    compiled = torch.compile(model, backend="eager")
    paths = [compiled_modules.uncompiled_path(path) for path, _ in compiled.named_modules()]
    assert paths == ["", "", "0", "1", "1."]
