"""Adapters of a layer, as peft, loralib and users write them."""

import torch
from torch import nn


class PeftLike(nn.Module):
    """A wrapper with a `base_layer` and small matrices in dictionaries, as peft has them."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(base.in_features, rank, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(rank, base.out_features, bias=False)})
        self.dropout, self.enabled = nn.Dropout(0.5), True

    def delta(self):
        return self.lora_B["default"].weight @ self.lora_A["default"].weight

    def forward(self, x):
        y = self.base_layer(x)
        if not self.enabled:
            return y
        return y + self.lora_B["default"](self.lora_A["default"](self.dropout(x)))


class LoralibLinear(nn.Linear):
    """A linear layer with a frozen weight and a trained difference, as loralib has it."""

    def __init__(self, n_inputs, n_outputs, rank=2):
        super().__init__(n_inputs, n_outputs)
        self.weight.requires_grad_(False)
        self.lora_A = nn.Parameter(torch.rand(rank, n_inputs))
        self.lora_B = nn.Parameter(torch.rand(n_outputs, rank))

    def delta(self):
        return self.lora_B @ self.lora_A

    def forward(self, x):
        return super().forward(x) + nn.functional.dropout(x, 0.5, self.training) @ self.delta().T


class Bottleneck(nn.Module):
    """An adapter that is not linear, as Houlsby et al. (2019) have it."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = nn.Linear(base.out_features, rank), nn.Linear(rank, base.out_features)

    def forward(self, x):
        y = self.base(x)
        return y + self.up(self.down(y).relu())
