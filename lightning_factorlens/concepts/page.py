"""Everything that figures show of concepts, collected in one record."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int, check_type
from lightning_factorlens.concepts.latent_image import colour_image, has_latent_images, latent_image
from lightning_factorlens.concepts.layer_panels import layer_panels_of_all
from lightning_factorlens.concepts.matching import SAME
from lightning_factorlens.concepts.names import ConceptNames, name_concepts
from lightning_factorlens.concepts.neighbours import neighbours
from lightning_factorlens.concepts.pixel_mask import masked_image
from lightning_factorlens.concepts.predictions import PREDICTIONS
from lightning_factorlens.concepts.similarity import concept_similarities
from lightning_factorlens.concepts.stability import ConceptStability
from lightning_factorlens.concepts.top_images import top_images_of_all
from lightning_factorlens.results import ConceptCard, ConceptPage, ConceptPictures, Concepts, LayerPanel
from lightning_factorlens.results.packed_tensors import small_images

#: Largest number of channels in the panel of a layer, and of pictures of the nearest images.
MAX_CHANNELS = 6
MAX_NEAREST = 16


def concept_page(
    concepts: Concepts,
    names: ConceptNames | None = None,
    stability: ConceptStability | Tensor | None = None,
    count: int = 16,
) -> ConceptPage:
    """Collects what `plots.concept_sheet_figure` and the other figures of concepts show.

    Args:
        concepts: From `FactorLens.concepts`.
        names: From `name_concepts`; None for names by the model's predictions, where it has class scores.
        stability: From `FactorLens.concept_stability`, of which the lowest median is shown; or the cosine of every
            concept with its partner in another fit, shape (rank,), e.g. ``match_concepts(concepts, other).cosine``;
            None without another fit.
        count: Number of top images; all where the probe has fewer.

    Returns:
        The page, on the CPU. Concepts are named by the first of several columns of names.

    Raises:
        ValueError: A ``count`` below 1, arguments of another type, or another number of stabilities than of concepts.

    Example:
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU())
        >>> page = concept_page(FactorLens(model).concepts(torch.rand(9, 1, 5, 5), rank=2))
        >>> len(page.cards), tuple(page[0].pictures.top.shape)
        (2, (9, 1, 5, 5))
    """
    check_int("count", count, 1)
    if names is not None:
        check_type("names", names, ConceptNames, "pass name_concepts(concepts, labels), or None for predictions")
    threshold = SAME
    if isinstance(stability, ConceptStability):
        threshold = stability.threshold
        stability = stability.lowest
    elif stability is not None:
        advice = "pass FactorLens.concept_stability(probe) or match_concepts(concepts, other).cosine"
        check_type("stability", stability, Tensor, advice)
    if stability is not None and len(stability) != concepts.rank:
        raise ValueError(
            f"stability: found {len(stability)} numbers for {concepts.rank} concepts; give one for each of them."
        )
    if names is None:
        names = name_concepts(concepts, None if concepts.predictions is None else PREDICTIONS, count)
    top = top_images_of_all(concepts, count)
    panels = layer_panels_of_all(concepts, MAX_CHANNELS)
    cards = []
    for k in names.clearest():
        cosine = None if stability is None else float(stability[k])
        cards.append(_card(concepts, k, names, top[k], panels[k], cosine, threshold))
    return ConceptPage(
        cards=tuple(cards),
        n_images=concepts.F.shape[1],
        fitted_on=tuple(block.name for block in concepts.blocks if block.is_fitted),
        rel_error=concepts.rel_error,
        named_by=names.columns[0].column if names.columns else "",
        similarities=concept_similarities(concepts),
    )


def _card(
    concepts: Concepts,
    k: int,
    names: ConceptNames,
    top: Tensor,
    panels: tuple[LayerPanel, ...],
    cosine: float | None,
    threshold: float,
) -> ConceptCard:
    name = None
    score = math.nan
    if names.columns:
        column = names.columns[0]
        name = column.names[k]
        score = float(column.scores[k].max())
    nearest, tally, entropy = _nearest(concepts, int(top[0]))
    return ConceptCard(
        number=k,
        name=name,
        score=score,
        clarity=float(names.clarity[k]),
        agreement=float(names.agreement[k]),
        stability=math.nan if cosine is None else cosine,
        is_stable=None if cosine is None else cosine >= threshold,
        top_images=top,
        nearest=nearest,
        tally=tally,
        entropy=entropy,
        panels=panels,
        pictures=_pictures(concepts, k, top, nearest) if has_latent_images(concepts) else None,
    )


def _nearest(concepts: Concepts, image: int) -> tuple[Tensor, Tensor, float]:
    """The images nearest to an image, which concepts dominate them, and the entropy of that."""
    if concepts.F.shape[1] < 2:
        return torch.empty(0, dtype=torch.int64), torch.zeros(concepts.rank, dtype=torch.int64), math.nan
    near = neighbours(concepts, image)
    return near.indices[0], near.tally[0], float(near.entropy[0])


def _pictures(concepts: Concepts, k: int, top: Tensor, nearest: Tensor) -> ConceptPictures:
    colour = colour_image(concepts, k).permute(2, 0, 1)
    return ConceptPictures(
        latent=small_images(latent_image(concepts, k)),
        colour=small_images(colour).permute(1, 2, 0),
        top=small_images(concepts.inputs[top]),
        masked=small_images(masked_image(concepts, k, int(top[0]))),
        nearest=small_images(concepts.inputs[nearest[:MAX_NEAREST]]),
    )
