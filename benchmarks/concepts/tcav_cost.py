"""Captum's numbers along the same vectors, its time for one layer, and the cost of TCAV in forward passes."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.part import interleaved_medians, timed
from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.results import Concepts, TCAVResult

TOP = 16
#: Random sets with which a user of Captum compares each concept, and how many are timed.
RANDOM_SETS = 50
TIMED_SETS = 4


@dataclass(frozen=True)
class Case:
    """A trained network, the same one untrained, and images."""

    name: str
    model: nn.Module
    untrained: nn.Module
    images: Tensor


def measure_captum(case: Case, rank: int, n_classes: int) -> dict[str, float]:
    """Differences from Captum with the same vectors, and the time of both for one layer."""
    lens = FactorLens(case.model, LensOptions(max_neurons_per_layer=None), outputs="classes")
    concepts = lens.concepts(case.images, rank)
    result = lens.tcav(case.images, concepts, count=TOP)
    signs = []
    means = []
    for index in (0, len(result.layers) // 2, len(result.layers) - 1):
        for class_index in range(n_classes):
            found = captum_scores(case, result, index, class_index)
            signs.append(float((found["sign_count"].double() - result.sign_count[index, class_index]).abs().max()))
            mean = result.mean_derivative[index, class_index]
            means.append(float((found["magnitude"].double() - mean).abs().max() / mean.abs().max()))
    seconds = captum_seconds(case, result, concepts)
    lens = FactorLens(case.model, outputs="classes")
    concepts = lens.concepts(case.images, rank)
    ours = interleaved_medians({"ours": lambda: lens.tcav(case.images, concepts, count=TOP)}, 3)["ours"]
    per_layer = ours / len(result.layers)
    return {
        "sign_difference": max(signs),
        "mean_difference": max(means),
        "seconds_per_layer": per_layer,
        "captum_seconds_per_layer": seconds,
        "ratio": seconds / per_layer,
    }


def _captum_class(vectors: Tensor) -> Any:
    """A classifier for Captum that has these vectors without being trained."""
    from captum.concept import Classifier

    class Given(Classifier):
        def __init__(self) -> None:
            pass

        def train_and_eval(self, dataloader: Any, **options: Any) -> dict[str, Any]:
            return {}

        def weights(self) -> Tensor:
            return vectors

        def classes(self) -> list[int]:
            return list(range(len(vectors)))

    return Given()


def captum_scores(case: Case, result: TCAVResult, index: int, class_index: int) -> dict[str, Tensor]:
    """Captum's sign counts and means for one layer and class, along the vectors of the result."""
    from captum.concept import TCAV, Concept

    layer = result.layers[index]
    images = case.images[result.image_classes == result.classes[class_index]]
    concepts = [Concept(k, f"concept{k}", [case.images[:2]]) for k in range(len(result.concept_classes))]
    with tempfile.TemporaryDirectory() as folder:
        peer = TCAV(case.model, [layer], classifier=_captum_class(result.vectors[index]), save_path=folder)
        (scores,) = peer.interpret(images, [concepts], target=result.classes[class_index]).values()
    found: dict[str, Tensor] = scores[layer]
    return found


def captum_seconds(case: Case, result: TCAVResult, concepts: Concepts) -> float:
    """Processor seconds of Captum for the last layer: all concepts against 50 random sets each, and all classes.

    A few vectors are trained, since each takes the same time; activations and gradients are computed as often as for
    all.
    """
    from captum.concept import TCAV, Concept

    layer = result.layers[-1]
    generator = torch.Generator().manual_seed(0)
    top = concepts.F.argsort(dim=1, descending=True, stable=True)[:, :TOP]
    concept = Concept(0, "concept", [case.images[top[0]]])
    sets = []
    for k in range(1, TIMED_SETS + 1):
        rows = torch.randperm(len(case.images), generator=generator)[:TOP]
        sets.append([concept, Concept(k, f"random{k}", [case.images[rows]])])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        peer = TCAV(case.model, [layer], save_path=folder)
        training, _ = timed(lambda: peer.compute_cavs(sets))
        images = case.images[result.image_classes == result.classes[0]]
        testing, _ = timed(lambda: peer.interpret(images, sets, target=result.classes[0]))
    n_vectors = concepts.rank * RANDOM_SETS
    return training / TIMED_SETS * n_vectors + testing * len(result.classes)


def measure_cost(repetitions: int) -> dict[str, float]:
    """Time of TCAV in forward passes of a ResNet-18 (512 images, 10 classes, rank 16), and how often images pass."""
    from torchvision.models import resnet18

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet18(num_classes=10).eval()
        images = torch.rand(512, 3, 64, 64)
    lens = FactorLens(model, outputs="classes")
    concepts = lens.concepts(images, 16)
    classes = torch.arange(512) % 10

    @torch.no_grad()
    def forward() -> None:
        for part in images.split(128):
            model(part)

    functions = {"forward": forward, "tcav": lambda: lens.tcav(images, concepts, classes, count=TOP)}
    seconds = interleaved_medians(functions, repetitions)
    passed: list[int] = []

    def count(module: nn.Module, args: Any) -> None:
        if module is model.conv1:
            passed.append(len(args[0]))

    # What a hook of the model's own changes is restored after the call, a count too.
    with nn.modules.module.register_module_forward_pre_hook(count):
        lens.tcav(images, concepts, classes, count=TOP)
    return {**seconds, "passes": sum(passed) / 512, "in_forward_passes": seconds["tcav"] / seconds["forward"]}
