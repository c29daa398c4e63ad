"""Models that are called with several parts of a batch, compute gradients in ``forward``, or optimise by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.safety.bitwise_identity.situations.base import Classifier, Situation, Training, trains
from benchmarks.safety.bitwise_identity.situations.data import BATCH_SIZE, CLASSES, N_VALIDATION


class Texts(Dataset[Any]):
    """Random token numbers with a mask, in dictionaries as tokenizers return them."""

    def __len__(self) -> int:
        return N_VALIDATION

    def __getitem__(self, i: int) -> Any:
        generator = torch.Generator().manual_seed(i)
        tokens = torch.randint(20, (10,), generator=generator)
        return {"input_ids": tokens, "attention_mask": (torch.arange(10) < 6 + i % 5).long(), "labels": i % CLASSES}


class LanguageModel(Classifier):
    """A transformer that is called with the parts of a batch by name, and computes its loss itself."""

    def __init__(self) -> None:
        super().__init__(nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True))
        self.embedding, self.head = nn.Embedding(20, 16), nn.Linear(16, CLASSES)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None) -> Any:
        """Returns the scores, and the loss where there are labels."""
        padding = None if attention_mask is None else attention_mask == 0
        scores = self.head(self.net(self.embedding(input_ids), src_key_padding_mask=padding).mean(1))
        loss = None if labels is None else nn.functional.cross_entropy(scores, labels)
        return {"loss": loss, "logits": scores}

    def loss(self, batch: Any) -> Tensor:
        """The loss that the model returns."""
        return self(**batch)["loss"]


class Energy(Classifier):
    """Returns the gradient of its energy, which it computes in every forward pass, also in validation."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the forces, shape (N, 3, 8, 8)."""
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            energy = self.net(x).pow(2).sum()
            return torch.autograd.grad(energy, x, create_graph=self.training)[0]

    def loss(self, batch: Any) -> Tensor:
        """The squared distance of the forces from the pixels."""
        return nn.functional.mse_loss(self(batch[0]), batch[0])


class Adversarial(Classifier):
    """Manual optimisation of two networks by two optimizers, one of which takes two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.attacker = nn.Conv2d(3, 3, 1)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Attacks, then trains on attacked images."""
        optimizers: Any = self.optimizers()
        for step in range(3):
            optimizer = optimizers[step // 2]
            loss = nn.functional.cross_entropy(self(batch[0] + 0.1 * self.attacker(batch[0]).tanh()), batch[1])
            optimizer.zero_grad()
            self.manual_backward(-loss if step < 2 else loss)
            optimizer.step()
            self.log(f"loss_{step}", loss)

    def configure_optimizers(self) -> Any:
        """An optimizer for each network."""
        return [torch.optim.Adam(self.attacker.parameters(), 0.01), torch.optim.SGD(self.net.parameters(), 0.05)]


def on_dictionaries(module: Callable[[], Classifier], dataset: Dataset[Any]) -> Callable[[Path], Training]:
    """A training on batches that are dictionaries."""
    loaders = (DataLoader(dataset, BATCH_SIZE), DataLoader(dataset, BATCH_SIZE))
    return lambda _: Training(module=module(), train=loaders[0], validation=loaders[1])


class Attributed(Classifier):
    """Explains its scores by the gradient of the inputs, which needs gradients in its forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns scores that are weighted by the attribution, shape (N, 3)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            scores = self.net(x)
            (gradient,) = torch.autograd.grad(scores.max(1).values.sum(), x, retain_graph=True)
        return scores * (1 + gradient.abs().mean((1, 2, 3))[:, None])


SITUATIONS = (
    *(
        Situation("call", name, trains(module))
        for name, module in (
            ("gradients in forward: forces", Energy),
            ("gradients in forward: attribution", Attributed),
            ("manual optimisation, two optimizers", Adversarial),
        )
    ),
    Situation("call", "forward(**batch)", on_dictionaries(LanguageModel, Texts())),
)
