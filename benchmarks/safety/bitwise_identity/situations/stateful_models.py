"""Modules with a state that is no parameter and no buffer: hidden states, memories, metrics, generators, helpers."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, small_net, trains
from benchmarks.safety.bitwise_identity.situations.data import CLASSES


class HiddenState(Classifier):
    """Adds a hidden state that every forward pass moves, replaced at one place and changed in place at another."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: Tensor | None = None
        self.drift = torch.zeros(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        scores = self.net(x)
        self.hidden = scores.detach().mean(0) if self.hidden is None else 0.5 * self.hidden + scores.detach().mean(0)
        self.drift += 0.1 * self.hidden
        return scores + 0.1 * self.hidden + 0.1 * self.drift


class Memory(nn.Module):
    """A layer that remembers the last activations in lists, dictionaries and a queue."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.recent: deque[Tensor] = deque(maxlen=4)
        self.means: list[float] = []
        self.by_size: dict[int, list[Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Returns activations from which those before are subtracted."""
        x = self.relu(self.conv(x))
        if self.recent:
            x = x - 0.1 * torch.stack(list(self.recent)).mean()
        self.recent.append(x.detach().mean((0, 2, 3)))
        self.means.append(float(x.detach().mean()))
        self.by_size.setdefault(len(x), []).append(x.detach()[0])
        return x + 0.01 * len(self.means)


class Measured(Classifier):
    """Updates torchmetrics in its forward pass, one of which moves the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.mean_score, self.accuracy = MeanMetric(), MulticlassAccuracy(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        scores = self.net(x)
        mean = self.mean_score(scores.detach().mean())
        self.accuracy.update(scores.detach(), scores.argmax(1))
        return scores - 0.1 * mean

    def on_validation_epoch_end(self) -> None:
        """Logs what was counted since the last time."""
        self.log("mean_score", self.mean_score.compute())
        self.log("accuracy", self.accuracy)


class MomentumQueue(Classifier):
    """A queue of features as in MoCo: a buffer that is written at a position, and the position as a number."""

    queue: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("queue", torch.zeros(40, CLASSES))
        self.position = 0

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        scores = self.net(x)
        for row in scores.detach():
            self.queue[self.position] = row
            self.position = (self.position + 1) % len(self.queue)
        return scores - self.queue.mean(0)


class OwnGenerators(Classifier):
    """Draws from generators of numpy, Python and torch that belong to the module, in every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.numpy, self.python = np.random.default_rng(0), random.Random(0)
        self.torch = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        noise = torch.randn(x.shape, generator=self.torch, dtype=x.dtype)
        return self.net(x * (1 + 0.1 * self.numpy.random() + 0.1 * self.python.random()) + 0.01 * noise)


class Average:
    """An average of weights that is no module, as libraries for EMA make it."""

    def __init__(self, module: nn.Module) -> None:
        self.shadow = {name: p.detach().clone() for name, p in module.named_parameters()}
        self.n_updates = 0

    def update(self, module: nn.Module) -> None:
        """Averages."""
        self.n_updates += 1
        for name, parameter in module.named_parameters():
            self.shadow[name].lerp_(parameter.detach(), 0.1)


class Averaged(Classifier):
    """Holds an `Average`, which its forward pass updates and uses."""

    def __init__(self) -> None:
        super().__init__()
        self.average = Average(self.net)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        self.average.update(self.net)
        with torch.no_grad():
            teacher = torch.func.functional_call(self.net, self.average.shadow, (x,))
        return self.net(x) + 0.1 * teacher


class Scheduled(nn.Module):
    """A layer whose dropout rate grows with the number of calls, as a Python attribute of a child."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.dropout = small_net(), nn.Dropout(0.0)
        self.n_calls, self.history = 0, {"rates": [0.0]}

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        self.n_calls += 1
        self.dropout.p = min(0.5, 0.01 * self.n_calls)
        self.history["rates"].append(self.dropout.p)
        return self.net(self.dropout(x) + 0.001 * self.n_calls)


class CachesInHook(Classifier):
    """A forward hook of the user keeps activations outside of the module, and returns changed ones."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []
        self.net[0].register_forward_hook(self._keep)  # type: ignore[index]

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        self.kept.append(output.detach().mean())
        return output + 0.01 * len(self.kept)


class Tokens(Classifier):
    """Embeds the pixels as words; ``max_norm`` renormalises the embedding's weight in every forward pass."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, CLASSES)))
        self.embedding = nn.Embedding(32, 8, max_norm=0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        words = (x.mean(1).flatten(1) * 31).long()
        return self.net(self.embedding(words).mean(1))


def remembering() -> Classifier:
    """A classifier with a memory in a child."""
    return Classifier(nn.Sequential(Memory(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)))


SITUATIONS = tuple(
    Situation("state of the model", name, trains(module))
    for name, module in (
        ("hidden state", HiddenState),
        ("lists, dictionaries and queues", remembering),
        ("torchmetrics in forward", Measured),
        ("buffer with a position", MomentumQueue),
        ("generators of the module", OwnGenerators),
        ("EMA object", Averaged),
        ("counts its calls, dropout rate follows", lambda: Classifier(Scheduled())),
        ("hook of the user that keeps activations", CachesInHook),
        ("embedding with max_norm", Tokens),
    )
)
