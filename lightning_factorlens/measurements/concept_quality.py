"""How clear the concepts of the probe are, and whether they are those of before; not a default measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

import torch
from torch import Tensor

from lightning_factorlens._validation import check_int
from lightning_factorlens.concepts.blocks import not_finite, shared_concept_blocks
from lightning_factorlens.concepts.clarity import agreement, clarity
from lightning_factorlens.concepts.joined_blocks import alive_blocks
from lightning_factorlens.concepts.late_fit import fit_late
from lightning_factorlens.concepts.page import concept_page
from lightning_factorlens.concepts.predictions import class_probabilities, predicted_classes
from lightning_factorlens.concepts.timeline import concept_changes
from lightning_factorlens.measurements.base import FigureSpec, Measurement
from lightning_factorlens.measurements.concept_figures import CONCEPT_FIGURES, NAME
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.measurements.missing_outputs import absence_note
from lightning_factorlens.measurements.scalar import Scalar
from lightning_factorlens.results import ConceptRecord, Concepts
from lightning_factorlens.run_state import N_SINCE

CHART = "concepts: clarity, agreement and stability"


@dataclass(frozen=True)
class ConceptQuality(Measurement):
    """Clarity, agreement and stability of the concepts that `FactorLens.concepts` finds, from the captured layers.

    The concepts are fitted to the last two layers that are not zero, starting from those of the last record, so that
    concept k remains the same one. No further forward pass is made.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU())
        >>> lens = FactorLens(model, measurements=[ConceptQuality(rank=4)])
        >>> 0 < lens.observe(torch.rand(32, 1, 8, 8))["concept_quality"].clarity <= 1
        True

    Attributes:
        rank: Number of concepts; with fewer samples, as many as there are samples.
        every: The concepts are found at the first full observation, and then at every n-th.
    """

    rank: int = 10
    every: int = 1

    name: ClassVar[str] = NAME
    needs: ClassVar[frozenset[str]] = frozenset({"capture"})
    uses: ClassVar[frozenset[str]] = frozenset({"class_scores"})
    scalars: ClassVar[tuple[Scalar, ...]] = (
        Scalar(
            "concept_clarity",
            "{prefix}_concepts/clarity",
            "How alike a concept's 16 top images are to the network: the probability that two are of one class, or, "
            "without class scores, the mean cosine of their last features; averaged over the concepts.",
            reading="The closer to 1, the more the network takes the images of a concept for the same thing.",
            better="higher",
            chart=CHART,
            monitored=True,
            starts_later=True,
        ),
        Scalar(
            "concept_agreement",
            "{prefix}_concepts/agreement",
            "Share of the commonest predicted class among a concept's 16 top images, averaged over the concepts.",
            better="higher",
            chart=CHART,
            monitored=True,
            starts_later=True,
            of_class_scores=True,
        ),
        Scalar(
            "concept_stability",
            "{prefix}_concepts/stability",
            "Median cosine between the concepts and their partners at the last record.",
            reading="1: every concept is the one of before.",
            chart=CHART,
            monitored=True,
            starts_later=True,
        ),
    )
    figures: ClassVar[tuple[FigureSpec, ...]] = CONCEPT_FIGURES

    def __post_init__(self) -> None:
        check_int("rank", self.rank, 1)
        check_int("every", self.every, 1)

    def measure(self, context: Context) -> ConceptRecord | None:
        """Finds the concepts where that is due."""
        F, n_since = _previous(context)
        if n_since is not None and n_since + 1 < self.every:
            self._keep(context, F, n_since + 1)
            return None
        reason = not_finite(context.partition, context.probe.inputs, context.capture.layers)
        concepts = None
        if not reason:
            concepts = self._find(context, F)
            reason = "all captured layers are zero, or there is none"
        if concepts is None:
            context.note(absence_note(NAME, f"{reason}."))
            self._keep(context, F, self.every)  # due again at the next observation
            return None
        self._keep(context, concepts.F, 0)
        return _record(context, concepts, F)

    def _keep(self, context: Context, F: Tensor | None, n_since: int) -> None:
        """Keeps F for the next fit, and how many observations ago it was found; the latter also for another probe."""
        context.keep_state({N_SINCE: n_since} if F is None else {"F": F, N_SINCE: n_since})

    def _find(self, context: Context, F: Tensor | None) -> Concepts | None:
        """The concepts; None where every layer is zero."""
        options = context.options
        inputs = context.probe.inputs
        blocks, partition = shared_concept_blocks(
            context.partition,
            inputs,
            context.capture.layers,
            options.input_sign_policy,
            options.activation_sign_policy,
        )
        kinds = zip(blocks, alive_blocks(blocks, partition))
        if not any(is_alive and block.kind == "activation" for block, is_alive in kinds):
            return None
        rank = min(self.rank, len(inputs))
        if rank < self.rank:
            context.note(f"concept quality: {rank} concepts instead of {self.rank}, since there are {rank} samples")
        can_start = F is not None and tuple(F.shape) == (rank, len(inputs))
        return fit_late(
            blocks,
            rank,
            inputs=inputs,
            predictions=predicted_classes(context.capture.outputs),
            probabilities=class_probabilities(context.capture.outputs),
            weighting=options.weighting,
            solver=options.solver,
            seed=options.seed,
            start=F if can_start else None,
            partition=partition,
        )


def _previous(context: Context) -> tuple[Tensor | None, int | None]:
    """F of the last record, and how many full observations ago that was; None and None where there was none.

    With another probe the state has the number alone. Process 0 decides.
    """
    state = context.state or {}
    return state.get("F"), context.process_group.broadcast_object(lambda: state.get(N_SINCE))


def _record(context: Context, concepts: Concepts, F: Tensor | None) -> ConceptRecord:
    """The numbers, equal in all processes; process 0, which draws the figures, also has the page."""
    changes = None
    if F is not None and F.shape[1] == concepts.F.shape[1]:
        changes = concept_changes(F, concepts.F)
    agreements = agreement(concepts).tolist() if concepts.predictions is not None else []
    own = (clarity(concepts).tolist(), agreements, changes)
    clarities, agreements, changes = context.process_group.broadcast_object(lambda: own)
    cosine = None if changes is None else torch.tensor(changes.cosine, dtype=torch.float64)
    page = None
    if context.process_group.rank == 0:
        page = concept_page(concepts, stability=cosine)
    # Before the first training step it may not be known yet by which of its two definitions clarity will be measured.
    is_defined = not context.output_decision.is_provisional
    return ConceptRecord(
        clarity=_mean(clarities) if is_defined else None,
        agreement=_mean(agreements) if agreements else None,
        stability=None if changes is None else median(changes.cosine),
        clarities=tuple(clarities) if is_defined else (),
        agreements=tuple(agreements),
        alive=tuple(concepts.F.any(1).tolist()),
        changes=changes,
        page=page,
    )


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN where there is none."""
    found = [value for value in values if not math.isnan(value)]
    return math.fsum(found) / len(found) if found else math.nan
