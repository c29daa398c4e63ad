"""Networks that several benchmarks look into: one on MNIST and two on CIFAR-10, untrained and trained from a seed.

The weights before training and after every epoch are cached in the temporary folder, so that later calls need no data.
Training is short, because it has to run on a processor: the networks are examples, not the best of their kind.

    python -m benchmarks.networks [--data-dir DIR] [--networks NAMES] [--seeds 3]
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from torch import nn

from benchmarks.concepts.cifar import CACHE, Checkpoint, Images, accuracy, copy_weights
from benchmarks.network_recipes import RECIPES, make_untrained, train
from benchmarks.solver.networks import DATA

#: Number of training seeds of the benchmarks.
SEEDS = 3


def mnist_network(seed: int, trained: bool = True, data_dir: Path = DATA) -> nn.Module:
    """The network of Praggastis et al. (2022), section 4.2, on digits from 0 to 1: about 94 % of the test images.

    Two 3 × 3 convolutions without padding (1 → 32 → 64 channels), pooling, and linear layers of 128 and 10 outputs,
    named ``conv1``, ``conv2``, ``fc1`` and ``fc2``.

    Args:
        seed: Of the initial weights and of the order of the images.
        trained: Whether to train it, or to read the trained weights from the cache.
        data_dir: Folder with ``MNIST/raw``; it is read only where the weights are not cached.
    """
    return _network("mnist_network", seed, trained, data_dir)


def cifar_cnn(seed: int, trained: bool = True, data_dir: Path = DATA) -> nn.Module:
    """Four 3 × 3 convolutions with BatchNorm and one linear layer on CIFAR-10: about 68 % of the test images.

    The layers are named ``conv1`` to ``conv4`` and ``fc``; see `mnist_network` for the arguments. The data are
    ``cifar10.npz``.
    """
    return _network("cifar_cnn", seed, trained, data_dir)


def cifar_resnet18(seed: int, trained: bool = True, data_dir: Path = DATA) -> nn.Module:
    """The ResNet-18 of torchvision with a 3 × 3 stem and a quarter of the width, on CIFAR-10: about 65 %.

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
    shapes = [tuple(tensor.shape) for tensor in make_untrained(recipe, seed).state_dict().values()]
    key = hashlib.blake2b(repr((fields, shapes, torch.__version__)).encode(), digest_size=8).hexdigest()
    path = CACHE / f"networks-{name}-{seed}-{key}.pt"
    if path.exists():
        checkpoints: list[Checkpoint] = torch.load(path, weights_only=True)
        return checkpoints
    print(f"training {name}, seed {seed}, {recipe.epochs} epochs of {recipe.images} images …", flush=True)
    model = make_untrained(recipe, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        checkpoints = [copy_weights(model), *train(model, recipe, load_images(name, data_dir))]
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    torch.save(checkpoints, unfinished)
    unfinished.rename(path)
    return checkpoints


def network_at(name: str, checkpoint: Checkpoint) -> nn.Module:
    """A network with the weights of a checkpoint, in evaluation mode; see `network_checkpoints`."""
    model = make_untrained(RECIPES[name], 0)
    model.load_state_dict(checkpoint)
    return model.eval()


def load_images(name: str, data_dir: Path = DATA) -> Images:
    """The images of a network's data set, training and test, from 0 to 1."""
    return RECIPES[name].load(data_dir)


def _network(name: str, seed: int, trained: bool, data_dir: Path) -> nn.Module:
    if not trained:
        return make_untrained(RECIPES[name], seed).eval()
    return network_at(name, network_checkpoints(name, seed, data_dir)[-1])


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
