"""Modules whose weights are computed, shared, masked, merged, quantised, compiled or made late."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.callbacks import ModelPruning
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, Training, small_net, trains
from benchmarks.safety.bitwise_identity.situations.data import CLASSES


def wrapped(wrap: Callable[[nn.Module], nn.Module]) -> Callable[[], Classifier]:
    """A classifier whose convolution and linear layer are wrapped."""

    def make() -> Classifier:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old functions are deprecated
            first, last = wrap(nn.Conv2d(3, 8, 3)), wrap(nn.Linear(8, CLASSES))
        return Classifier(nn.Sequential(first, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last))

    return make


class Renormalising(Classifier):
    """Normalises the rows of a weight in every forward pass, as prototype networks do."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        last = cast(nn.Linear, cast(nn.Sequential, self.net)[-1])
        with torch.no_grad():
            last.weight.div_(last.weight.norm(dim=1, keepdim=True))
        return self.net(x)


class LowRank(nn.Module):
    """A frozen layer with a trainable update of low rank, which ``eval`` merges into the weight, as LoRA does."""

    def __init__(self, n_in: int, n_out: int, merges: bool) -> None:
        super().__init__()
        self.base = nn.Linear(n_in, n_out).requires_grad_(False)
        self.down, self.up = nn.Parameter(0.1 * torch.randn(2, n_in)), nn.Parameter(0.1 * torch.randn(n_out, 2))
        self.merges, self.merged, self.n_merges = merges, False, 0

    def train(self, mode: bool = True) -> LowRank:
        """Merges the update for evaluation, and subtracts it for training."""
        super().train(mode)
        if self.merges and self.merged == mode:
            sign = -1 if mode else 1
            self.base.weight.data += sign * self.up.data @ self.down.data
            self.merged = not mode
            self.n_merges += 1
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer."""
        return self.base(x) if self.merged else self.base(x) + x @ self.down.T @ self.up.T


class Merging(Classifier):
    """Calls ``train`` after validation, because Lightning restores the flags of the modules without it."""

    def on_validation_model_train(self) -> None:
        """Subtracts what ``eval`` has merged."""
        super().on_validation_model_train()
        self.net.train()


def low_rank(merges: bool) -> Callable[[], Classifier]:
    """A classifier with `LowRank` layers."""

    def make() -> Classifier:
        layers = [nn.Flatten(), LowRank(192, 16, merges), nn.ReLU(), LowRank(16, CLASSES, merges)]
        return Merging(nn.Sequential(*layers)) if merges else Classifier(nn.Sequential(*layers))

    return make


class Fusing(nn.Module):
    """Computes a weight for evaluation when ``eval`` is called, and removes it for training, as RepVGG does."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 1)

    def train(self, mode: bool = True) -> Fusing:
        """Computes or removes the fused weight, a tensor that is no parameter."""
        super().train(mode)
        if mode:
            vars(self).pop("fused", None)
        else:
            self.fused = self.a.weight.detach() + nn.functional.pad(self.b.weight.detach(), (1, 1, 1, 1))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Applies the branches, or their sum in one."""
        if self.training:
            return self.a(x) + self.b(x)
        bias = cast(Tensor, self.a.bias) + cast(Tensor, self.b.bias)
        return nn.functional.conv2d(x, self.fused, bias, padding=1)


class SparseAndComplex(Classifier):
    """Mixes channels by a sparse buffer and filters by a complex one, both of which every forward pass changes."""

    mixing: Tensor
    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mixing", torch.eye(3).to_sparse())
        self.register_buffer("filter", torch.ones(8, 5, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        self.mixing = (self.mixing * 1.01).coalesce()
        self.filter *= torch.tensor(0.99 + 0.01j)
        spectrum = torch.fft.rfft2(x) * self.filter
        x = torch.fft.irfft2(spectrum, s=x.shape[-2:])
        mixed = torch.sparse.mm(self.mixing, x.transpose(0, 1).flatten(1))
        return self.net(mixed.view(3, len(x), *x.shape[2:]).transpose(0, 1))


def lazy() -> Classifier:
    """Layers whose sizes the first batch tells."""
    convolution: list[nn.Module] = [nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU()]
    module = Classifier(nn.Sequential(*convolution, nn.Flatten(), nn.LazyLinear(CLASSES)))
    module(torch.zeros(2, 3, 8, 8))
    return module


class MadeLate(Classifier):
    """Makes its network in ``configure_model``."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())

    def configure_model(self) -> None:
        """Makes the network once."""
        if isinstance(self.net, nn.Identity):
            self.net = small_net()


def scripted() -> Classifier:
    """A backbone that `torch.jit.script` compiled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backbone = torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, CLASSES)]
    return Classifier(nn.Sequential(backbone, *head))


def quantised() -> Classifier:
    """Quantisation-aware training: observers follow the range of the activations in every forward pass."""
    module = Classifier()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.net.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
        torch.ao.quantization.prepare_qat(module.net.train(), inplace=True)
    return module


def pruned(_: Path) -> Training:
    """Masks a part of the weights at every epoch."""
    pruning: Any = ModelPruning("l1_unstructured", amount=0.3)
    return Training(callbacks=[pruning])


def orthogonal(module: nn.Module) -> nn.Module:
    """A linear layer with orthogonal rows; a convolution as it is."""
    return parametrizations.orthogonal(module) if isinstance(module, nn.Linear) else module


SITUATIONS = (
    *(
        Situation("weights", name, trains(module))
        for name, module in (
            ("old weight norm", wrapped(nn.utils.weight_norm)),
            ("old spectral norm", wrapped(nn.utils.spectral_norm)),
            ("weight norm", wrapped(parametrizations.weight_norm)),
            ("orthogonal", wrapped(orthogonal)),
            ("renormalised in forward", Renormalising),
            ("low-rank update", low_rank(merges=False)),
            ("low-rank update that eval() merges", low_rank(merges=True)),
            ("branches that eval() fuses", lambda: Classifier(nn.Sequential(Fusing(), *small_net(8)))),
            ("sparse and complex buffers", SparseAndComplex),
            ("lazy layers", lazy),
            ("configure_model", MadeLate),
            ("scripted backbone", scripted),
            ("quantisation-aware", quantised),
        )
    ),
    Situation("weights", "ModelPruning", pruned),
)
