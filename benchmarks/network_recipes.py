"""How the networks of `benchmarks.networks` are made and trained."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.concepts.cifar import Checkpoint, Images, copy_weights, load_cifar
from benchmarks.concepts.mnist import load_mnist

#: Width of the first stage of the ResNet-18; that of torchvision is 64.
RESNET_WIDTH = 16


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained.

    Attributes:
        make: Makes the untrained network; the seed of torch's generator is already set.
        load: Reads the images in a folder.
        images: Number of training images.
        batch: Images of an optimizer step.
        epochs: Number of epochs.
        learning_rate: Largest learning rate of SGD with Nesterov momentum and one cycle.
        mirror: Whether images are mirrored and shifted in training.
    """

    make: Callable[[], nn.Module]
    load: Callable[[Path], Images]
    images: int
    batch: int
    epochs: int
    learning_rate: float
    mirror: bool


def make_untrained(recipe: Recipe, seed: int) -> nn.Module:
    """The untrained network of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.make()


def _make_mnist_network() -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(1, 32, 3),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3),
        relu2=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(64 * 12 * 12, 128),
        relu3=nn.ReLU(),
        fc2=nn.Linear(128, 10),
    )
    return nn.Sequential(layers)


def _make_cifar_cnn() -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    widths = (3, 32, 32, 64, 64)
    for number in range(1, 5):
        layers[f"conv{number}"] = nn.Conv2d(widths[number - 1], widths[number], 3, padding=1)
        layers[f"bn{number}"] = nn.BatchNorm2d(widths[number])
        layers[f"relu{number}"] = nn.ReLU()
        if number < 4:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(widths[-1], 10)
    return nn.Sequential(layers)


def _make_cifar_resnet18() -> nn.Module:
    from torchvision.models.resnet import BasicBlock, ResNet

    model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10)
    width = RESNET_WIDTH
    model.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    model.maxpool = nn.Identity()
    model.layer1 = _stage(BasicBlock, width, width, 1)
    model.layer2 = _stage(BasicBlock, width, 2 * width, 2)
    model.layer3 = _stage(BasicBlock, 2 * width, 4 * width, 2)
    model.layer4 = _stage(BasicBlock, 4 * width, 8 * width, 2)
    model.fc = nn.Linear(8 * width, 10)
    return model


def _stage(block: Callable[..., nn.Module], channels: int, out: int, stride: int) -> nn.Sequential:
    """Two residual blocks of ResNet-18; the first one changes size and channels."""
    shortcut = None
    if stride != 1:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))
    return nn.Sequential(block(channels, out, stride, shortcut), block(out, out))


def train(model: nn.Module, recipe: Recipe, images: Images) -> Iterator[Checkpoint]:
    """Trains and yields a copy of the weights after every epoch."""
    n = recipe.images // recipe.batch * recipe.batch
    steps = recipe.epochs * (n // recipe.batch)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    model.train().to(memory_format=torch.channels_last)  # a third faster on a processor
    for _ in range(recipe.epochs):
        for batch in torch.randperm(recipe.images)[:n].split(recipe.batch):
            x = _augment(images.train[batch]) if recipe.mirror else images.train[batch]
            loss = nn.functional.cross_entropy(
                model(x.contiguous(memory_format=torch.channels_last)), images.train_labels[batch]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        yield copy_weights(model)


def _augment(x: Tensor) -> Tensor:
    """Mirrors half of the images, and shifts all of a batch by up to three pixels."""
    mirrored = torch.rand(len(x), 1, 1, 1) < 0.5
    dy, dx = torch.randint(-3, 4, (2,)).tolist()
    return torch.where(mirrored, x.flip(3), x).roll((dy, dx), (2, 3))


_load_mnist = lru_cache(maxsize=1)(load_mnist)
_load_cifar = lru_cache(maxsize=1)(load_cifar)

#: Name → how it is made and trained.
RECIPES = {
    "mnist_network": Recipe(_make_mnist_network, _load_mnist, 10_000, 64, 1, 0.1, mirror=False),
    "cifar_cnn": Recipe(_make_cifar_cnn, _load_cifar, 20_000, 64, 5, 0.1, mirror=True),
    "cifar_resnet18": Recipe(_make_cifar_resnet18, _load_cifar, 20_000, 64, 3, 0.1, mirror=True),
}
