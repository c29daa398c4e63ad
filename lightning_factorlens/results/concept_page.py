"""What figures show of concepts, and the record of the concepts of one observation."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from lightning_factorlens.results._short_repr import ShortRepr
from lightning_factorlens.results.concept_timeline import ConceptChanges
from lightning_factorlens.results.layers import LayerSimilarity
from lightning_factorlens.results.plottable import Plottable
from lightning_factorlens.results.record import Record, Value


@dataclass(frozen=True, eq=False, repr=False)
class LayerPanel(ShortRepr):
    """A concept in one layer.

    Attributes:
        layer: Name of the layer.
        share: Its share of the layer's energy, see `concepts.energy_shares`; NaN for a layer of zeros.
        channels: The strongest channels, the strongest first. Channels of which no neuron was captured are left out.
        channel_shares: The share of each of them in the concept's energy in this layer, Σ w² over the channel's
            captured neurons; NaN where the concept does not use the layer.
        profile: That share for all channels, shape (channels,).
    """

    layer: str
    share: float
    channels: tuple[int, ...]
    channel_shares: tuple[float, ...]
    profile: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ConceptPictures(ShortRepr):
    """The pixels of one concept; only of images (N, C, H, W). Those of large images are means over squares of pixels.

    Attributes:
        latent: The latent image of every channel, shape (C, H, W), float64.
        colour: The latent image to look at, shape (H, W, 3), float64, from 0 to 1.
        top: The top images, the strongest first, shape (n, C, H, W).
        masked: The strongest of them with the weaker half of each channel's pixels set to the channel's smallest value,
            shape (C, H, W).
        nearest: The images that are nearest to the strongest one, shape (m, C, H, W).
    """

    latent: Tensor
    colour: Tensor
    top: Tensor
    masked: Tensor
    nearest: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ConceptCard(ShortRepr):
    """One concept.

    Attributes:
        number: Its number k, the row of F.
        name: The class that it is named by; None without names.
        score: The share of the concept that lies on images of that class; NaN without names.
        clarity: See `concepts.clarity`; NaN where nothing is left of the concept.
        agreement: See `concepts.agreement`; NaN without class scores.
        stability: Cosine with its partner in another fit; NaN without another fit.
        is_stable: Whether that is at least 0.7, or the threshold of the stability; None without another fit.
        top_images: Positions of the top images in the probe, the strongest first, shape (n,).
        nearest: Positions of the images nearest to the strongest one, shape (m,).
        tally: How many of these each concept dominates, shape (rank,).
        entropy: Entropy of the tally in nats.
        panels: The concept in every layer, by depth.
        pictures: Its pixels; None where the inputs are not images.
    """

    number: int
    name: Hashable
    score: float
    clarity: float
    agreement: float
    stability: float
    is_stable: bool | None
    top_images: Tensor
    nearest: Tensor
    tally: Tensor
    entropy: float
    panels: tuple[LayerPanel, ...]
    pictures: ConceptPictures | None


@dataclass(frozen=True, eq=False, repr=False)
class ConceptPage(ShortRepr, Plottable):
    """The concepts of one fit as figures show them.

    Attributes:
        cards: One for each concept, the clearest first, and those without a clarity last.
        n_images: Number of samples of the probe.
        fitted_on: Names of the blocks to which F was fitted.
        rel_error: Relative error of all blocks.
        named_by: What the names are: ``"predictions"``, ``"labels"`` or the name of a column; empty without names.
        similarities: Which concepts share the neurons of each layer, by depth.
    """

    cards: tuple[ConceptCard, ...]
    n_images: int
    fitted_on: tuple[str, ...]
    rel_error: float
    named_by: str
    similarities: tuple[LayerSimilarity, ...]

    def __getitem__(self, number: int) -> ConceptCard:
        for card in self.cards:
            if card.number == number:
                return card
        raise KeyError(f"no concept {number}; there are {len(self.cards)}, counted from 0")


@dataclass(frozen=True, eq=False)
class ConceptRecord(Record, Plottable):
    """The concepts of one observation.

    Attributes:
        clarity: Mean clarity of the concepts; NaN where none has one, None before the first training step where that
            step has to confirm that the output is read as class scores, from which clarity is computed.
        agreement: Mean agreement of the concepts; None where the output is not read as class scores.
        stability: Median cosine of the concepts with those of the last record; None for the first one.
        clarities: Clarity of each concept; empty where there is none.
        agreements: Agreement of each concept; empty where there is none.
        alive: Whether anything is left of each concept.
        changes: How the concepts of the last record have become these; None for the first one.
        page: What the figures show; None in histories, and in processes other than the first.
    """

    clarity: float | None
    agreement: float | None
    stability: float | None
    clarities: tuple[float, ...] = ()
    agreements: tuple[float, ...] = ()
    alive: tuple[bool, ...] = ()
    changes: ConceptChanges | None = None
    page: ConceptPage | None = None

    def values(self) -> Iterator[Value]:
        """Clarity, agreement and stability where there are such."""
        numbers = {"clarity": self.clarity, "agreement": self.agreement, "stability": self.stability}
        for name, number in numbers.items():
            if number is not None:
                yield Value(f"concept_{name}", number)

    def without_tensors(self) -> ConceptRecord:
        """A copy without the page."""
        return replace(self, page=None)
