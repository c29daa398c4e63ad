"""Networks that several benchmarks look into: one on MNIST and two on CIFAR-10, untrained and trained from a seed.

The weights before training and after every epoch are cached in the temporary folder, so that later calls need no data.
Training is short, because it has to run on a processor: the networks are examples, not the best of their kind.

    python -m benchmarks.networks [--data-dir DIR] [--networks NAMES] [--seeds 3]
"""

from __future__ import annotations

import argparse
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.concepts.cifar import CACHE, Checkpoint, Images, accuracy, copy_weights, load_cifar
from benchmarks.concepts.mnist import load_mnist
from benchmarks.solver.networks import DATA

#: Width of the first stage of `cifar_resnet18`; that of torchvision is 64.
RESNET_WIDTH = 16
#: Number of training seeds of the benchmarks.
SEEDS = 3


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


def mnist_network(seed: int, trained: bool = True, data_dir: Path = DATA) -> nn.Module:
    """The network of Praggastis et al. (2022), section 4.2, on digits from 0 to 1: about 95 % of the test images.

    Two 3 × 3 convolutions without padding (1 → 32 → 64 channels), pooling, and linear layers of 128 and 10 outputs,
    named ``conv1``, ``conv2``, ``fc1`` and ``fc2``.

    Args:
        seed: Of the initial weights and of the order of the images.
        trained: Whether to train it, or to read the trained weights from the cache.
        data_dir: Folder with ``MNIST/raw``; it is read only where the weights are not cached.
    """
    return _network("mnist_network", seed, trained, data_dir)


def cifar_cnn(seed: int, trained: bool = True, data_dir: Path = DATA) -> nn.Module:
    """Four 3 × 3 convolutions with BatchNorm and one linear layer on CIFAR-10: about 67 % of the test images.

    The layers are named ``conv1`` to ``conv4`` and ``fc``; see `mnist_network` for the arguments. The data are
    ``cifar10.npz``.
    """
    return _network("cifar_cnn", seed, trained, data_dir)


def cifar_resnet18(seed: int, trained: bool = True, data_dir: Path = DATA) -> nn.Module:
    """The ResNet-18 of torchvision with a 3 × 3 stem and a quarter of the width, on CIFAR-10.

    The full width would take hours on a processor: 16, 32, 64 and 128 channels instead of 64 to 512. See
    `mnist_network` for the arguments.
    """
    return _network("cifar_resnet18", seed, trained, data_dir)


def network_checkpoints(name: str, seed: int, data_dir: Path = DATA) -> list[Checkpoint]:
    """The weights of a network before training and after every epoch.

    Args:
        name: ``"mnist_network"``, ``"cifar_cnn"`` or ``"cifar_resnet18"``.
        seed: See `mnist_network`.
        data_dir: See `mnist_network`.
    """
    recipe = RECIPES[name]
    fields = (name, recipe.images, recipe.batch, recipe.epochs, recipe.learning_rate, recipe.mirror, seed)
    shapes = [tuple(tensor.shape) for tensor in _untrained(recipe, seed).state_dict().values()]
    key = hashlib.blake2b(repr((fields, shapes, torch.__version__)).encode(), digest_size=8).hexdigest()
    path = CACHE / f"networks-{name}-{seed}-{key}.pt"
    if path.exists():
        checkpoints: list[Checkpoint] = torch.load(path, weights_only=True)
        return checkpoints
    print(f"training {name}, seed {seed}, {recipe.epochs} epochs of {recipe.images} images …", flush=True)
    model = _untrained(recipe, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        checkpoints = [copy_weights(model), *_train(model, recipe, load_images(name, data_dir))]
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    torch.save(checkpoints, unfinished)
    unfinished.rename(path)
    return checkpoints


def network_at(name: str, checkpoint: Checkpoint) -> nn.Module:
    """A network with the weights of a checkpoint, in evaluation mode; see `network_checkpoints`."""
    model = _untrained(RECIPES[name], 0)
    model.load_state_dict(checkpoint)
    return model.eval()


def load_images(name: str, data_dir: Path = DATA) -> Images:
    """The images of a network's data set, training and test, from 0 to 1."""
    return RECIPES[name].load(data_dir)


def _network(name: str, seed: int, trained: bool, data_dir: Path) -> nn.Module:
    if not trained:
        return _untrained(RECIPES[name], seed).eval()
    return network_at(name, network_checkpoints(name, seed, data_dir)[-1])


def _untrained(recipe: Recipe, seed: int) -> nn.Module:
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


def _train(model: nn.Module, recipe: Recipe, images: Images) -> Iterator[Checkpoint]:
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


def main() -> None:
    """Trains all networks that are not cached, and prints their accuracy on test images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--networks", default=",".join(RECIPES))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    for name in args.networks.split(","):
        for seed in range(args.seeds):
            model = network_at(name, network_checkpoints(name, seed, args.data_dir)[-1])
            images = load_images(name, args.data_dir)
            few = Images(images.train, images.train_labels, images.test[:2000], images.test_labels[:2000])
            print(f"{name}, seed {seed}: {accuracy(model, few):.3f} of 2,000 test images", flush=True)


if __name__ == "__main__":
    main()
