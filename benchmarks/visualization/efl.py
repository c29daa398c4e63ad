"""The letters E, F and L with two hidden units and no bias: what the weights show, and what they do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from benchmarks.part import Measured
from benchmarks.reporting import Figure, markdown_table
from lightning_factorlens.visualization import weight_pictures

#: Number of training runs of each variant.
SEEDS = 20
#: Images of each letter for training and for testing, as in the paper.
TRAIN = 3333
TEST = 400
#: Standard deviation of the noise.
NOISE = 0.2
#: Level of the test that the strokes which tell the letters apart hold the largest weights, after Holm's correction.
LEVEL = 0.05
#: What follows the hidden units, and the learning rate of Adam.
VARIANTS: dict[str, tuple[type[nn.Module], float]] = {
    "linear, 1e-2": (nn.Identity, 1e-2),
    "ReLU, 1e-2": (nn.ReLU, 1e-2),
    "linear, 1e-3": (nn.Identity, 1e-3),
    "ReLU, 1e-3": (nn.ReLU, 1e-3),
}


@dataclass(frozen=True)
class Letters:
    """Images of the three letters, black (0) on white (1), and which pixels tell them apart.

    Attributes:
        images: Shape (n, 1, size, size).
        labels: 0 for E, 1 for F, 2 for L.
        strokes: Pixels that are black in some letters and white in others, shape (size, size), bool.
    """

    images: Tensor
    labels: Tensor
    strokes: Tensor


def make_letters(count: int, size: int = 16, noise: float = NOISE, seed: int = 0, is_negative: bool = False) -> Letters:
    """Draws letters with noise N(0, noise²); values below zero become zero.

    Args:
        count: Images of each letter.
        size: Height and width of the images, at least 12.
        noise: Standard deviation of the noise.
        seed: Of the noise.
        is_negative: Whether the letters are white on black, the photographic negative.
    """
    thick = max(size // 8, 1)
    left, right, top, bottom = size // 4, size - size // 4, size // 8, size - size // 8
    middle = (top + bottom - thick) // 2
    bars = {"top": top, "middle": middle, "bottom": bottom - thick}
    drawn = {"E": ("top", "middle", "bottom"), "F": ("top", "middle"), "L": ("bottom",)}
    letters = torch.ones(3, size, size)
    for letter, names in zip(letters, drawn.values()):
        letter[top:bottom, left : left + thick] = 0.0
        for name in names:
            letter[bars[name] : bars[name] + thick, left:right] = 0.0
    generator = torch.Generator().manual_seed(seed)
    drawn_letters = 1 - letters if is_negative else letters
    clean = drawn_letters.repeat_interleave(count, 0)[:, None]
    images = (clean + noise * torch.randn(clean.shape, generator=generator)).clamp_min(0)
    labels = torch.arange(3).repeat_interleave(count)
    return Letters(images, labels, letters.amax(0) != letters.amin(0))


def train(letters: Letters, hidden: nn.Module, learning_rate: float, seed: int, epochs: int = 10) -> nn.Sequential:
    """Trains two hidden units without bias by Adam.

    Args:
        letters: The training set.
        hidden: What follows the hidden units: a ReLU, or the identity.
        learning_rate: Of Adam.
        seed: Of the initial weights and of the order of the images.
        epochs: Number of epochs.
    """
    torch.manual_seed(seed)
    size = letters.images[0].numel()
    model = nn.Sequential(nn.Flatten(), nn.Linear(size, 2, bias=False), hidden, nn.Linear(2, 3, bias=False))
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    for _ in range(epochs):
        for batch in torch.randperm(len(letters.images)).split(100):
            loss = nn.functional.cross_entropy(model(letters.images[batch]), letters.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@torch.no_grad()
def error(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of the images that are classified wrongly."""
    return float((model(images).argmax(1) != labels).double().mean())


def stroke_test(model: nn.Module, letters: Letters) -> tuple[float, float]:
    """Whether the strokes that tell the letters apart hold larger weights than the other pixels.

    Args:
        model: The network.
        letters: For the strokes.

    Returns:
        Their share of the squared weights divided by their share of the area; and the p-value of the one-sided test of
        Mann and Whitney for larger sums of squared weights of both units in the strokes.
    """
    size = letters.images.shape[-1]
    squares = weight_pictures(model, "1", shape=(1, size, size)).pictures.square().sum((0, 1))
    inside, outside = squares[letters.strokes], squares[~letters.strokes]
    share = float(inside.sum() / squares.sum())
    p_value = float(mannwhitneyu(inside.numpy(), outside.numpy(), alternative="greater").pvalue)
    return share / float(letters.strokes.double().mean()), p_value


def measure(data_dir: Path, quick: bool) -> Measured:
    """Trains the variants from many seeds."""
    seeds = 4 if quick else SEEDS
    rows = []
    values: dict[str, dict[str, list[float]]] = {}
    for name, (hidden, learning_rate) in VARIANTS.items():
        values[name] = measure_variant(hidden, learning_rate, seeds)
        rows.append([name, *_cells(values[name], seeds)])
    text = (
        f"## Letters E, F and L\n\n`python -m benchmarks.visualization --parts efl`. {seeds} seeds of each variant, "
        f"noise {NOISE:g}, two hidden units without bias, Adam. Strokes: the share of squared weight in the pixels "
        "that differ between the letters, divided by their share of the area, lowest to highest; and in how many runs "
        f"the test of Mann and Whitney finds them larger there (Holm, {LEVEL:g}). The last two columns: networks that "
        "were trained on the letters and meet the photographic negative, and the other way around, which is the "
        "paper's experiment; error and number of runs. Chance is 0.67; Gulati et al. (2017) report 0.52.\n\n"
    )
    header = ["hidden units, learning rate", "0 % test error", "strokes", "significant", "on the negative", "reversed"]
    linear = values["linear, 1e-2"]
    figures = [
        Figure("efl_linear_share_without_error", _share_without_error(linear), 1.0),
        Figure("efl_linear_significant_strokes", _significant(linear["p"]) / seeds, 1.0),
    ]
    return Measured(text + markdown_table(header, rows), {"values": values}, figures)


def measure_variant(hidden: type[nn.Module], learning_rate: float, seeds: int) -> dict[str, list[float]]:
    """Errors and strokes of the networks of one variant."""
    letters, test = make_letters(TRAIN), make_letters(TEST, seed=1)
    negative, negative_test = make_letters(TRAIN, is_negative=True), make_letters(TEST, seed=1, is_negative=True)
    found: dict[str, list[float]] = {name: [] for name in ("error", "negative", "reversed", "ratio", "p")}
    for seed in range(seeds):
        model = train(letters, hidden(), learning_rate, seed)
        found["error"].append(error(model, test.images, test.labels))
        found["negative"].append(error(model, negative_test.images, test.labels))
        of_negative = train(negative, hidden(), learning_rate, seed)
        found["reversed"].append(error(of_negative, test.images, test.labels))
        ratio, p_value = stroke_test(model, letters)
        found["ratio"].append(ratio)
        found["p"].append(p_value)
    return found


def _cells(found: dict[str, list[float]], seeds: int) -> list[str]:
    """Successes, ratios, significant runs, and the errors on the other kind of letters as distributions."""
    n_perfect = round(_share_without_error(found) * seeds)
    ratios = f"{min(found['ratio']):.1f} to {max(found['ratio']):.1f}"
    cells = [f"{n_perfect} of {seeds}", ratios, f"{_significant(found['p'])} of {seeds}"]
    return [*cells, _distribution(found["negative"]), _distribution(found["reversed"])]


def _distribution(errors: list[float]) -> str:
    """How many runs have each error."""
    counts: dict[str, int] = {}
    for value in sorted(errors):
        key = f"{value:.2f}"
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{key}: {count}" for key, count in counts.items())


def _share_without_error(found: dict[str, list[float]]) -> float:
    return sum(value == 0 for value in found["error"]) / len(found["error"])


def _significant(p_values: list[float]) -> int:
    """Number of tests that are significant after Holm's correction."""
    for position, p_value in enumerate(sorted(p_values)):
        if p_value * (len(p_values) - position) > LEVEL:
            return position
    return len(p_values)
