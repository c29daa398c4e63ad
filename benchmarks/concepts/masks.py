"""Whether the mask of a concept carries it: the network's confidence on its top images, masked in five ways."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.concepts.baselines import TOP
from benchmarks.concepts.cases import DATA_SETS, Case, describe, make_cases
from benchmarks.concepts.spread import Spread
from benchmarks.part import Measured
from benchmarks.reporting import Figure
from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import pixel_mask, top_images
from lightning_factorlens.concepts.pixel_mask import strongest_half
from lightning_factorlens.results import Concepts

RANK = 10
#: Masks in the order of the table's columns.
MASKS = {
    "whole": "whole image",
    "mask": "mask",
    "inverse": "inverse mask",
    "random": "random half",
    "other": "another concept's mask",
}
#: What replaces the pixels outside of a mask.
FILLS = {"black": "the channel's smallest value", "mean": "the mean image of the probe"}


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures confidence on both data sets, and counts the pixels that masks keep of these and of sparse inputs."""
    sections = []
    values = {}
    figures = []
    for name, data_set in DATA_SETS.items():
        spread = Spread()
        for case in make_cases(name, data_dir, quick):
            spread.add(measure_case(case))
        rows = {f"{net}_{fill}": f"{net}, {title}" for net in ("trained", "untrained") for fill, title in FILLS.items()}
        kept = {"kept": "predictions kept on masked images, the channel's smallest value"}
        table = spread.table("network, pixels outside of the mask", MASKS, {**rows, **kept})
        sections.append(f"### {data_set.title}\n\n{table}")
        values[name] = spread.values
        off_half = spread.highest("off_half")
        figures.append(Figure(f"masks_{name}_pixels_off_half", off_half, 0, at_most=True))
        for other in ("inverse", "random", "other"):
            margin = spread.mean("trained_black_mask") - spread.mean(f"trained_black_{other}")
            figures.append(Figure(f"masks_{name}_confidence_above_{other}", margin, 0))
    sparse = max(pixels_off_half(concepts) for concepts in sparse_concepts())
    figures.append(Figure("masks_sparse_inputs_pixels_off_half", sparse, 0, at_most=True))
    text = (
        f"## Masks\n\n`python -m benchmarks.concepts --parts masks`. {describe(quick)} Rank {RANK}. Mean probability, "
        f"over the {TOP} top images of every concept, of the class that the network predicts for the whole image. "
        "Every mask keeps half of the pixels of each channel; another concept's mask is the mean over all others. "
        "Mean, lowest and highest value of all seeds and probes.\n\n"
    )
    return Measured(text + "\n\n".join(sections), {"values": values}, figures)


def measure_case(case: Case) -> dict[str, float]:
    """The confidence of both networks with every fill, and the largest departure of a mask from half of the pixels."""
    found = {}
    for name, model in (("trained", case.model), ("untrained", case.untrained)):
        concepts = FactorLens(model, outputs="classes").concepts(case.images, RANK)
        black = case.images.amin((0, 2, 3))[:, None, None].expand(case.images.shape[1:])
        for fill, background in (("black", black), ("mean", case.images.mean(0))):
            for mask, (confidence, kept) in confidences(model, concepts, background, case.seed).items():
                found[f"{name}_{fill}_{mask}"] = confidence
                if (name, fill) == ("trained", "black"):
                    found[f"kept_{mask}"] = kept
        found["off_half"] = max(found.get("off_half", 0.0), pixels_off_half(concepts))
    return found


@torch.no_grad()
def confidences(model: nn.Module, concepts: Concepts, background: Tensor, seed: int) -> dict[str, tuple[float, float]]:
    """Mean probability of the whole image's class, and the share of images with the same prediction, for every mask."""
    generator = torch.Generator().manual_seed(seed)
    masks = [pixel_mask(concepts, k) for k in range(concepts.rank)]
    sums: dict[str, list[Tensor]] = {name: [] for name in MASKS}
    for k in range(concepts.rank):
        images = concepts.inputs[top_images(concepts, k, TOP)]
        predicted = model(images).argmax(1)
        noise = torch.rand(images.shape, generator=generator)
        tried = {
            "whole": [torch.ones_like(masks[k])],
            "mask": [masks[k]],
            "inverse": [~masks[k]],
            "random": [strongest_half(noise)],
            "other": masks[:k] + masks[k + 1 :],
        }
        for name, chosen in tried.items():
            for mask in chosen:
                scores = model(torch.where(mask, images, background)).softmax(1)
                confidence = scores.gather(1, predicted[:, None])[:, 0]
                sums[name].append(torch.stack([confidence, (scores.argmax(1) == predicted).to(confidence)]))
    means = {name: torch.cat(found, 1).double().mean(1).tolist() for name, found in sums.items()}
    return {name: (confidence, kept) for name, (confidence, kept) in means.items()}


def pixels_off_half(concepts: Concepts) -> float:
    """The largest departure of the number of pixels in a mask from ⌊H · W / 2⌋, over concepts and channels."""
    half = concepts.inputs.shape[-2] * concepts.inputs.shape[-1] // 2
    counts = torch.stack([pixel_mask(concepts, k).sum((1, 2)) for k in range(concepts.rank)])
    return float((counts - half).abs().max())


def sparse_inputs() -> list[Tensor]:
    """Inputs with many equal pixels: one bright pixel, all equal, two values, odd sizes, a black border, one pixel."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    one_pixel = torch.zeros(40, 1, 9, 9)
    one_pixel.flatten(1)[torch.arange(40), torch.randint(81, (40,), generator=generator)] = 1
    black_border = torch.zeros(40, 3, 12, 12)
    black_border[:, :, 4:8, 4:8] = noise(40, 3, 4, 4)
    rare = (noise(40, 1, 7, 5) < 0.1).float()
    often = (noise(40, 2, 8, 8) < 0.5).float()
    return [one_pixel, torch.ones(40, 3, 8, 8), rare, often, black_border, noise(40, 1, 1, 1)]


def sparse_concepts() -> list[Concepts]:
    """Concepts of `sparse_inputs` for a network of random weights."""
    found = []
    for images in sparse_inputs():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Conv2d(images.shape[1], 8, 3, padding=1), nn.ReLU())
        for fit_on in ("late", "all"):
            found.append(FactorLens(model).concepts(images, 4, fit_on=fit_on))
    return found
