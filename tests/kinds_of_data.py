"""Datasets and networks of kinds that cannot be one tensor: graphs, bags, images of different sizes, lists of images."""

import copy

import torch
from torch import nn

from lightning_factorlens.capture import DrawnBatch


class GraphBatch:
    """A batch of graphs as PyTorch Geometric collates it: an object that is no mapping and is moved in place."""

    def __init__(self, x, batch, num_graphs, y):
        self.x, self.batch, self.num_graphs, self.y = x, batch, num_graphs, y

    def to(self, device):
        self.x, self.batch = self.x.to(device), self.batch.to(device)
        return self


def graph_batches(n_batches=4, n_graphs=8):
    """Batches of graphs of three to six nodes with five features each."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for _ in range(n_batches):
        sizes = torch.randint(3, 7, (n_graphs,), generator=generator)
        index = torch.repeat_interleave(torch.arange(n_graphs), sizes)
        x = torch.randn(len(index), 5, generator=generator)
        drawn.append(DrawnBatch(GraphBatch(x, index, n_graphs, torch.zeros(n_graphs)), n_graphs))
    return drawn


class GraphNet(nn.Module):
    """Layers of nodes, the mean over each graph, and a head."""

    def __init__(self):
        super().__init__()
        self.nodes, self.act, self.head = nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, graphs):
        nodes = self.act(self.nodes(graphs.x))
        sums = nodes.new_zeros(graphs.num_graphs, 8).index_add(0, graphs.batch, nodes)
        return self.head(sums)


def bag_batches(n=40):
    """Bags of different numbers of instances, each a batch of its own without a batch axis."""
    drawn = []
    for i in range(n):
        bag = torch.randn(5 + i % 4, 6, generator=torch.Generator().manual_seed(i))
        drawn.append(DrawnBatch((bag, torch.tensor(i % 2)), 1))
    return drawn


class BagNet(nn.Module):
    """Attention over the instances of a bag."""

    def __init__(self):
        super().__init__()
        self.features, self.act, self.head = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)

    def forward(self, bag):
        return self.head(self.act(self.features(bag)).mean(0, keepdim=True))


def sized_images(sizes=(8, 12, 10), n=36, batch_size=1):
    """Batches of images, those of one batch of equal size."""
    generator = torch.Generator().manual_seed(0)
    drawn = []
    for i in range(n // batch_size):
        size = sizes[i % len(sizes)]
        images = torch.rand(batch_size, 3, size, size + 2, generator=generator)
        drawn.append(DrawnBatch((images, torch.zeros(batch_size)), batch_size))
    return drawn


class FullyConvolutional(nn.Module):
    """A network for images of any size."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.act(self.conv(x)).mean((2, 3)))


def image_lists(sizes=(8, 12), n_batches=10, n_images=4):
    """Tuples of images and of targets, as collate functions for detection return them."""
    drawn = []
    for i in range(n_batches):
        images = tuple(torch.rand(3, sizes[(i + j) % len(sizes)], 8) for j in range(n_images))
        targets = tuple({"boxes": torch.zeros(j + 1, 4)} for j in range(n_images))
        drawn.append(DrawnBatch((images, targets), n_images))
    return drawn


class Detector(nn.Module):
    """Takes a list of images, enlarges them to the largest and returns one dictionary for each."""

    def __init__(self):
        super().__init__()
        self.conv, self.act, self.boxes = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 4)

    def forward(self, images):
        assert isinstance(images, list)
        height = max(image.shape[1] for image in images)
        padded = [nn.functional.pad(image, (0, 0, 0, height - image.shape[1])) for image in images]
        found = self.act(self.conv(torch.stack(padded)))
        boxes = self.boxes(found.flatten(2).mT.flatten(0, 1)[:9])  # a number of rows of its own
        return [{"boxes": boxes} for _ in images]


def copied(drawn):
    """The batches in another list, since a probe empties the list that it is made of."""
    return copy.deepcopy(drawn)
