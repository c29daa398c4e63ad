"""What a page of concepts costs beside one forward pass of the probe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from benchmarks.concepts.cifar import load_cifar
from benchmarks.part import Measured, interleaved_medians, timed
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens import FactorLens
from lightning_factorlens.capture import capture_activations, isolate_model, select_layers, trace_layers
from lightning_factorlens.concepts import concept_page, name_concepts, neighbours, utilisation
from lightning_factorlens.concepts.blocks import concept_blocks
from lightning_factorlens.concepts.fold_in import fold_in
from lightning_factorlens.concepts.late_fit import choose_blocks, fit_late
from lightning_factorlens.concepts.similarity import concept_similarities
from lightning_factorlens.factorization import factorize

SAMPLES = 512
RANK = 16
NEURONS = 4096
PAGE = "all but the factorization"


def resnet18() -> nn.Module:
    """ResNet-18 with the stem for 32 × 32 pixels, untrained: the weights have no influence on the time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10)
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model.eval()


@torch.no_grad()
def forward(model: nn.Module, images: Tensor) -> Tensor:
    """One forward pass of the probe."""
    return torch.cat([model(part) for part in images.split(128)])


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures on CIFAR-10 images."""
    images = load_cifar(data_dir).test[:SAMPLES]
    model = resnet18()
    seconds = interleaved_medians(steps(model, images, NEURONS), 2 if quick else 5)
    one_pass = seconds["forward pass"]
    if not quick:
        of_all_neurons = steps(model, images, None)[PAGE]
        seconds[f"{PAGE}, all neurons"] = timed(of_all_neurons)[0]
    rows = [[name, f"{value:.2f}", f"{value / one_pass:.3f}"] for name, value in seconds.items()]
    text = (
        "## Cost\n\n`python -m benchmarks.concepts --parts cost`. ResNet-18 with a stem for CIFAR-10, "
        f"{SAMPLES} images, rank {RANK}, at most {NEURONS} neurons of each layer as by default. Processor seconds, and "
        "the same in forward passes of the probe without the lens. What is not the factorization: the blocks, the "
        "factors of all of them, names, clarity, masks, neighbours, similarity, utilisation and panels.\n\n"
        + markdown_table(["step", "seconds", "forward passes"], rows)
    )
    figure = Figure("concepts_page_in_forward_passes", seconds[PAGE] / one_pass, 1.0, at_most=True)
    return Measured(text, {"seconds": seconds}, [figure])


def steps(model: nn.Module, images: Tensor, neurons: int | None) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    lens = FactorLens(model, outputs="classes")
    concepts = lens.concepts(images, RANK)
    with isolate_model(model), torch.no_grad():
        table = select_layers(trace_layers(model, model, images[:4]))
        layers = capture_activations(model, model, images, table, max_neurons_per_layer=neurons).layers
    blocks = concept_blocks(images, layers)
    late = choose_blocks(blocks, "late")

    def fit_of_late_layers() -> Any:
        return factorize(late, [RANK])

    def join_all_blocks() -> Any:
        return [fold_in(block, concepts.F) for block in blocks]

    def page() -> Any:
        """All but the fits: sorted cards with names, masks, neighbours and panels, and similarity and utilisation."""
        utilisation(concepts)
        neighbours(concepts)
        return concept_page(concepts)

    def all_but_the_factorization() -> None:
        concept_blocks(images, layers)
        join_all_blocks()
        page()

    def everything() -> Any:
        return concept_page(fit_late(concept_blocks(images, layers), RANK, inputs=images))

    return {
        "forward pass": lambda: forward(model, images),
        "factorization of the late layers": fit_of_late_layers,
        "joining all blocks": join_all_blocks,
        "names": lambda: name_concepts(concepts),
        "neighbours of all images": lambda: neighbours(concepts),
        "similarity": lambda: concept_similarities(concepts),
        "utilisation": lambda: utilisation(concepts),
        "page, with names and similarity": lambda: concept_page(concepts),
        "fit and page": everything,
        PAGE: all_but_the_factorization,
    }
