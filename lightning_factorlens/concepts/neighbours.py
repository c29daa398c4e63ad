"""The images of the probe that are nearest to an image in the latent space, and the concepts that rule among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lightning_factorlens._validation import check_int
from lightning_factorlens.concepts.groups import plain_number
from lightning_factorlens.concepts.top_images import check_image
from lightning_factorlens.results import Concepts
from lightning_factorlens.results._short_repr import ShortRepr

#: Number of neighbours unless another is given, as in Saini and Papalexakis (2018).
DEFAULT_COUNT = 30
#: Images whose cosines with all others are computed at once.
CHUNK = 1024


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours(ShortRepr):
    """The nearest images of some images, one row for each of them.

    Attributes:
        images: Positions of the images in the probe, shape (n,).
        indices: Positions of their neighbours, shape (n, k), the nearest first.
        cosine: Cosine between the columns of F, shape (n, k), float64; 0 for an image that belongs to no concept.
        tally: How many neighbours each concept dominates, shape (n, rank).
        n_without_concept: How many neighbours belong to no concept, shape (n,). With them the tally has the sum k.
        entropy: Entropy of the tally in nats, shape (n,), float64: 0 where one concept dominates all neighbours, log
            rank where all concepts dominate as many. NaN where no neighbour belongs to a concept.
    """

    images: Tensor
    indices: Tensor
    cosine: Tensor
    tally: Tensor
    n_without_concept: Tensor
    entropy: Tensor


def dominant_concepts(concepts: Concepts) -> Tensor:
    """The concept to which each image belongs most.

    Args:
        concepts: From `FactorLens.concepts`.

    Returns:
        The largest entry of each column of F, shape (N,), the first one of equal entries; −1 for a column of zeros.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> dominant_concepts(FactorLens(model).concepts(torch.rand(4, 6), rank=1))
        tensor([0, 0, 0, 0])
    """
    order = concepts.F.argsort(dim=0, descending=True, stable=True)
    return order[0].where(concepts.F.any(0), -1)


def neighbours(concepts: Concepts, images: int | Sequence[int] | None = None, count: int | None = None) -> Neighbours:
    """The nearest images by the cosine between columns of F.

    Args:
        concepts: From `FactorLens.concepts`.
        images: Position of an image in the probe, or several; None for all.
        count: Number k of neighbours, from 1 to N − 1; None for 30, or N − 1 where there are fewer.

    Returns:
        The neighbours, without the image itself; of equally near ones, the image that comes first in the probe.

    Raises:
        ValueError: A position outside of the probe, a wrong ``count``, or a probe of one image.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> found = neighbours(FactorLens(model).concepts(torch.rand(9, 6), rank=2), images=3, count=5)
        >>> found.indices.shape, int(found.tally.sum())
        (torch.Size([1, 5]), 5)
    """
    n_samples = concepts.F.shape[1]
    count = _checked_count(count, n_samples)
    rows = _checked_images(images, n_samples)
    columns = concepts.F.double().T
    norms = columns.norm(dim=1, keepdim=True)
    columns = columns / norms.where(norms > 0, 1.0)
    indices = []
    cosines = []
    for part in rows.split(CHUNK):
        cosine = (columns[part] @ columns.T).clamp_max(1)
        cosine[torch.arange(len(part)), part] = -2  # below every cosine, so that the image itself comes last
        order = cosine.argsort(dim=1, descending=True, stable=True)[:, :count]
        indices.append(order)
        cosines.append(cosine.gather(1, order))
    nearest = torch.cat(indices)
    dominant = dominant_concepts(concepts)[nearest]
    # Position 0 counts the images without a concept.
    tally = one_hot(dominant + 1, concepts.rank + 1).sum(1)
    return Neighbours(rows, nearest, torch.cat(cosines), tally[:, 1:], tally[:, 0], tally_entropy(tally[:, 1:]))


def tally_entropy(tally: Tensor) -> Tensor:
    """Entropy of counts in nats.

    Args:
        tally: Counts, shape (…, n).

    Returns:
        Shape (…), float64; NaN where all counts are 0.

    Example:
        >>> tally_entropy(torch.tensor([[4, 0], [2, 2]])).round(decimals=4)
        tensor([0.0000, 0.6931], dtype=torch.float64)
    """
    share = tally.double() / tally.sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1)


def _checked_count(count: int | None, n_samples: int) -> int:
    if n_samples < 2:
        raise ValueError("concepts: a probe of one image has no neighbours; pass at least two images.")
    check_int("count", count, 1, or_none=f"{min(DEFAULT_COUNT, n_samples - 1)}")
    if count is None:
        return min(DEFAULT_COUNT, n_samples - 1)
    if count >= n_samples:
        raise ValueError(
            f"count: an image of this probe has {n_samples - 1} others, found count = {count}; give a number from 1 to "
            f"{n_samples - 1}."
        )
    return count


def _checked_images(images: int | Sequence[int] | None, n_samples: int) -> Tensor:
    if images is None:
        return torch.arange(n_samples)
    listed = images.tolist() if hasattr(images, "tolist") else images
    positions = [plain_number(image) for image in listed] if isinstance(listed, Iterable) else [listed]
    for position in positions:
        check_image("images", position, n_samples)
    return torch.tensor(positions, dtype=torch.int64)
