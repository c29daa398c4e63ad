"""Models that keep state in Python train bit for bit as without the lens, and their state is the same afterwards."""

import collections

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.aggregation import CatMetric
from torchmetrics.classification import MulticlassAccuracy
from training import lens


class Lit(LightningModule):
    """A classifier that uses what its `forward` keeps."""

    def __init__(self):
        super().__init__()
        self.hidden, self.act, self.head = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.act(self.hidden(x)))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    def state(self):
        """What the model keeps in Python, for a comparison."""
        return None


class HiddenState(Lit):
    def __init__(self):
        super().__init__()
        self.h = torch.zeros(8)

    def forward(self, x):
        y = self.act(self.hidden(x) + self.h)
        self.h = 0.5 * self.h + y.mean(0).detach()
        return self.head(y)

    def state(self):
        return self.h


class Memory(Lit):
    def __init__(self):
        super().__init__()
        self.outputs, self.recent, self.n = [], collections.deque(maxlen=3), 0

    def forward(self, x):
        self.n += 1
        y = super().forward(x)
        self.outputs.append(y.detach().mean())
        self.recent.append(x)
        return y + 0.1 * torch.stack(self.outputs).sum() * y + 0.01 * self.n * y

    def state(self):
        return self.outputs, self.recent, self.n


class Average:
    def __init__(self, size):
        self.mean = torch.zeros(size)

    def update(self, y):
        self.mean.lerp_(y.detach().mean(0), 0.1)
        return self.mean


class Helper(Lit):
    def __init__(self):
        super().__init__()
        self.average = Average(3)

    def forward(self, x):
        y = super().forward(x)
        return y - self.average.update(y)

    def state(self):
        return self.average.mean


class Metrics(Lit):
    def __init__(self):
        super().__init__()
        self.accuracy, self.entropy = MulticlassAccuracy(3), CatMetric()

    def forward(self, x):
        y = super().forward(x)
        self.accuracy(y.detach(), y.argmax(1))
        self.entropy(y.detach().logsumexp(1))
        return y + 0.01 * self.entropy.compute().mean() * y

    def state(self):
        return self.accuracy.metric_state, self.entropy.metric_state, self.accuracy._update_count


class WritesWeights(Lit):
    def forward(self, x):
        with torch.no_grad():
            self.hidden.weight.div_(self.hidden.weight.norm(dim=1, keepdim=True))
            self.head.weight.data.clamp_(-0.5, 0.5)
        return super().forward(x)


class Renormed(Lit):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(16, 6, max_norm=0.5)

    def forward(self, x):
        return super().forward(self.embed((x * 15).long()).mean(1))


class Merges(Lit):
    """Folds an adapter into a weight in evaluation mode, by adding and subtracting it, which rounds."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.merged = nn.Parameter(torch.rand(8, 1)), nn.Parameter(torch.rand(1, 6)), False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.hidden.weight.data += (-1 if mode else 1) * (self.up @ self.down).data
            self.merged = not mode
        return self

    def forward(self, x):
        y = self.hidden(x) if self.merged else self.hidden(x) + x @ (self.up @ self.down).T
        return self.head(self.act(y))

    def state(self):
        return self.merged


class SparseBuffers(Lit):
    def __init__(self):
        super().__init__()
        self.register_buffer("adjacency", torch.eye(6).to_sparse())
        self.register_buffer("phase", torch.ones(6, dtype=torch.complex64))

    def forward(self, x):
        self.phase *= 1j
        self.adjacency.mul_(0.99)
        return super().forward((self.adjacency @ x.T).T + self.phase.real)

    def state(self):
        return self.phase, self.adjacency.to_dense()


class Hooked(Lit):
    def __init__(self):
        super().__init__()
        features = self.features = {}

        def keep(module, inputs, output):
            features.setdefault("act", []).append(output.detach().mean())

        self.act.register_forward_hook(keep)

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss * (1 + torch.stack(self.features["act"]).mean())

    def state(self):
        return self.features


def data():
    g = torch.Generator().manual_seed(0)
    samples = TensorDataset(torch.rand(32, 6, generator=g), torch.randint(0, 3, (32,), generator=g))
    return DataLoader(samples, 8, shuffle=True), DataLoader(samples, 8)


def fit(kind, *callbacks):
    torch.manual_seed(5)
    module = kind()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, callbacks=list(callbacks), enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, *data())
    return module


KINDS = [HiddenState, Memory, Helper, Metrics, WritesWeights, Renormed, Merges, SparseBuffers, Hooked]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_model_that_keeps_state_in_python_trains_as_without_the_lens(kind):
    alone = fit(kind)
    observer = lens(every_n_train_steps=3, probe_size=16)
    observed = fit(kind, observer)
    assert observer.state.n_failed == 0
    assert observer.state.n_measured >= 3
    for wanted, found in zip(alone.parameters(), observed.parameters()):
        assert torch.equal(wanted, found)
    assert repr(alone.state()) == repr(observed.state())
