"""Some families of PyTorch Geometric: classification of graphs, and of the nodes of one graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.model_families.family import TRAINING_SAMPLES, VALIDATION_SAMPLES, Family, Task

N_FEATURES = 5
N_CLASSES = 2
WIDTH = 16
#: Nodes of the one graph whose nodes are classified.
N_NODES = 64


def _convolution(name: str, n_inputs: int) -> nn.Module:
    """One graph convolution of a kind."""
    from torch_geometric import nn as graph_nn

    if name == "gin":
        return graph_nn.GINConv(nn.Sequential(nn.Linear(n_inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)))
    kinds = {"gat": "GATConv", "gcn": "GCNConv", "sage": "SAGEConv", "transformer": "TransformerConv"}
    return getattr(graph_nn, kinds[name])(n_inputs, WIDTH)


def _pooled(x: Tensor, batch: Tensor) -> Tensor:
    """The mean over the nodes of each graph."""
    from torch_geometric.nn import global_mean_pool

    return global_mean_pool(x, batch)


class GraphClassifier(LightningModule):
    """Two graph convolutions, the mean over the nodes of each graph, and a linear head."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first = _convolution(kind, N_FEATURES)
        self.second = _convolution(kind, WIDTH)
        self.head = nn.Linear(WIDTH, N_CLASSES)

    def forward(self, data: Any) -> Tensor:
        """Returns the class scores of every graph of a batch of graphs."""
        return self.head(_pooled(self.hidden(data.x, data.edge_index), data.batch))

    def hidden(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Returns the hidden state of every node."""
        x = F.relu(self.first(x, edge_index))
        return F.relu(self.second(x, edge_index))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the cross-entropy of the graphs' classes."""
        loss = F.cross_entropy(self(batch), batch.y)
        self.log("train_loss", loss, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the cross-entropy of the graphs' classes."""
        self.log("val_loss", F.cross_entropy(self(batch), batch.y), batch_size=batch.num_graphs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class GraphClassifierOfParts(GraphClassifier):
    """The same with the signature of PyTorch Geometric's own examples, ``forward(x, edge_index, batch)``."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Returns the class scores of every graph."""
        return self.head(_pooled(self.hidden(x, edge_index), batch))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the cross-entropy of the graphs' classes."""
        loss = F.cross_entropy(self(batch.x, batch.edge_index, batch.batch), batch.y)
        self.log("train_loss", loss, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Logs the cross-entropy of the graphs' classes."""
        scores = self(batch.x, batch.edge_index, batch.batch)
        self.log("val_loss", F.cross_entropy(scores, batch.y), batch_size=batch.num_graphs)


class NodeClassifier(GraphClassifier):
    """Two graph convolutions and a linear head that classifies every node of the graph."""

    def forward(self, data: Any) -> Tensor:
        """Returns the class scores of every node."""
        return self.head(self.hidden(data.x, data.edge_index))


def _graphs(n: int, seed: int) -> list[Any]:
    from torch_geometric.data import Data

    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for index in range(n):
        n_nodes = 6 + index % 4
        label = index % N_CLASSES
        x = torch.randn(n_nodes, N_FEATURES, generator=generator) + label
        edge_index = torch.randint(0, n_nodes, (2, 20), generator=generator)
        graphs.append(Data(x=x, edge_index=edge_index, y=torch.tensor([label])))
    return graphs


def _make_graphs(module: type[GraphClassifier], kind: str) -> Task:
    from torch_geometric.loader import DataLoader

    training = DataLoader(_graphs(TRAINING_SAMPLES, 1), batch_size=8, shuffle=True)
    return Task(module(kind), training, DataLoader(_graphs(VALIDATION_SAMPLES, 2), batch_size=8))


def _make_nodes() -> Task:
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader

    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(N_NODES) % N_CLASSES
    x = torch.randn(N_NODES, N_FEATURES, generator=generator) + labels[:, None]
    edge_index = torch.randint(0, N_NODES, (2, 4 * N_NODES), generator=generator)
    graph = Data(x=x, edge_index=edge_index, y=labels)
    return Task(NodeClassifier("gcn"), DataLoader([graph], batch_size=1), DataLoader([graph], batch_size=1))


def _family(name: str, model: str, make: Callable[[], Task], argument: str = "") -> Family:
    return Family(f"torch_geometric.{name}", model, make, ("torch_geometric",), argument)


def graph_families() -> list[Family]:
    """Graph classifiers of four kinds of convolutions, one with another signature, and a node classifier."""
    families = []
    for kind in ("gat", "gcn", "gin", "transformer"):
        make = partial(_make_graphs, GraphClassifier, kind)
        families.append(_family(f"graphs.{kind}", f"two layers of {kind}, forward(data)", make))
    families.append(
        _family(
            "graphs.sage",
            "two layers of sage, forward(x, edge_index, batch)",
            partial(_make_graphs, GraphClassifierOfParts, "sage"),
            "forward_fn=lambda model, data: model(data.x, data.edge_index, data.batch)",
        )
    )
    families.append(_family("nodes.gcn", "two layers of gcn on one graph of 64 nodes", _make_nodes))
    return families
