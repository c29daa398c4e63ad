"""Collate functions with a state, and batches of every structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from benchmarks.safety.bitwise_identity.situations.base import Classifier
from benchmarks.safety.bitwise_identity.situations.data import (
    CLASSES,
    N_TRAIN,
    N_VALIDATION,
    Images,
)


class MixUp:
    """Mixes the images of a batch by weights from its own generator, and counts the batches."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.n_batches = 0

    def __call__(self, samples: list[Any]) -> Any:
        """The batch."""
        self.n_batches += 1
        x, y = default_collate(samples)
        weight = float(self.generator.beta(0.4, 0.4))
        return weight * x + (1 - weight) * x.flip(0), y


class VaryingImages(Images):
    """Images of three sizes."""

    def __getitem__(self, i: int) -> Any:
        size = 6 + i % 3
        return self.x[i, :, :size, :size], self.y[i]


class FirstOf(Classifier):
    """Its batches are single samples without a batch dimension."""

    def loss(self, batch: Any) -> Tensor:
        """The loss of a sample."""
        return super().loss((batch[0][None], batch[1][None]))


class OfLists(Classifier):
    """Takes a list of images, as detectors do, and returns their scores."""

    def forward(self, images: Any) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return torch.cat([self.net(image[None]) for image in images])

    def loss(self, batch: Any) -> Tensor:
        """The loss of a list."""
        return nn.functional.cross_entropy(self(list(batch[0])), torch.stack(list(batch[1])))


class OfDicts(Classifier):
    """Takes images out of a dictionary."""

    def loss(self, batch: Any) -> Tensor:
        """The loss of a dictionary."""
        return super().loss((batch["image"], batch["label"]))


class Sequences(Dataset[Any]):
    """Series of different lengths."""

    def __len__(self) -> int:
        return N_VALIDATION

    def __getitem__(self, i: int) -> Any:
        generator = torch.Generator().manual_seed(i)
        return torch.randn(4 + i % 5, 6, generator=generator), i % CLASSES


class Recurrent(Classifier):
    """A GRU over padded series."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, CLASSES)))
        self.gru = nn.GRU(6, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the scores, shape (N, 3)."""
        return self.net(self.gru(x)[0].mean(1))


@dataclass
class GraphBatch:
    """Several graphs as one: the features of all nodes, and which graph each node belongs to."""

    x: Tensor
    edges: Tensor
    graph: Tensor
    y: Tensor

    def to(self, device: Any) -> GraphBatch:
        """The graphs on another device."""
        return GraphBatch(self.x.to(device), self.edges.to(device), self.graph.to(device), self.y.to(device))


def join_graphs(samples: list[Any]) -> GraphBatch:
    """Joins graphs by shifting their node numbers."""
    nodes, edges, graph, start = [], [], [], 0
    for number, (x, edge_index, _) in enumerate(samples):
        nodes.append(x)
        edges.append(edge_index + start)
        graph.append(torch.full((len(x),), number))
        start += len(x)
    return GraphBatch(torch.cat(nodes), torch.cat(edges, 1), torch.cat(graph), torch.tensor([s[2] for s in samples]))


class Graphs(Dataset[Any]):
    """Small random graphs."""

    def __len__(self) -> int:
        return N_TRAIN

    def __getitem__(self, i: int) -> Any:
        generator = torch.Generator().manual_seed(i)
        n = 4 + i % 3
        return torch.randn(n, 5, generator=generator), torch.randint(n, (2, 9), generator=generator), i % CLASSES


class GraphNet(Classifier):
    """One graph convolution, and a mean over the nodes of each graph."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(5, 12), nn.ReLU()))
        self.head = nn.Linear(12, CLASSES)

    def forward(self, batch: Any) -> Tensor:
        """Returns the scores of each graph, shape (number of graphs, 3)."""
        h = self.net(batch.x)
        h = h + torch.zeros_like(h).index_add(0, batch.edges[1], h[batch.edges[0]])
        n_graphs = int(batch.graph.max()) + 1
        return self.head(h.new_zeros(n_graphs, h.shape[1]).index_add(0, batch.graph, h))

    def loss(self, batch: Any) -> Tensor:
        """The loss of a batch of graphs."""
        return nn.functional.cross_entropy(self(batch), batch.y)


class CallWithGraphs:
    """Calls a model with whole batches; the node features count as inputs."""

    def __call__(self, model: Any, batch: Any) -> Any:
        """The scores."""
        return model(batch)

    def inputs(self, batch: Any) -> Tensor:
        """The features of all nodes."""
        return batch.x


def as_dict(samples: list[Any]) -> dict[str, Any]:
    """A batch with tensors, names and a list."""
    x, y = default_collate(samples)
    return {"label": y, "image": x, "name": [f"{i}.png" for i in range(len(y))], "meta": {"size": [8, 8]}}


def pad(samples: list[Any]) -> Any:
    """Pads series to the longest."""
    return nn.utils.rnn.pad_sequence([s[0] for s in samples], batch_first=True), torch.tensor([s[1] for s in samples])


def first(samples: list[Any]) -> Any:
    """The only sample."""
    return samples[0]


def as_tuples(samples: list[Any]) -> Any:
    """A tuple of images and a tuple of labels."""
    return tuple(zip(*samples))
