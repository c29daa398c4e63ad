"""A probe after its forward pass, from which concepts can be fitted several times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from lightning_factorlens._validation import check_int, check_type
from lightning_factorlens.concepts.late_fit import check_rank, fit_late
from lightning_factorlens.concepts.matching import has_same_samples
from lightning_factorlens.factorization import Solver, Weighting
from lightning_factorlens.results import Block, Concepts


@dataclass(frozen=True, eq=False)
class CapturedProbe:
    """What a model has computed for a probe, and the options of the fits.

    Attributes:
        blocks: From `concept_blocks`.
        inputs: The samples, shape (N, …).
        predictions: Predicted classes, shape (N,); None where the output is not read as class scores.
        probabilities: Predicted probabilities of the classes, shape (N, K); None as `predictions`.
        weighting: See `fit_late`.
        solver: See `fit_late`.
        seed: Seed of a fit that is given none.
    """

    blocks: tuple[Block, ...]
    inputs: Tensor
    predictions: Tensor | None
    probabilities: Tensor | None
    weighting: Weighting
    solver: Solver | str | None
    seed: int

    def fit(
        self,
        rank: int,
        fit_on: str | Sequence[str] = "late",
        start: Concepts | Literal["random"] | None = None,
        seed: int | None = None,
    ) -> Concepts:
        """Fits concepts, see `fit_late`.

        Args:
            rank: See `fit_late`.
            fit_on: See `fit_late`.
            start: Earlier concepts of the same samples and rank; ``"random"``; or None.
            seed: See `fit_late`; None for the seed of the options.

        Raises:
            ValueError: As `fit_late` raises it; or a ``start`` of other samples or of another rank.
        """
        check_rank(rank, len(self.inputs))
        if start is not None and start != "random":
            check_type("start", start, Concepts, "pass earlier concepts of the same probe, 'random', or None")
        check_int("seed", seed, 0, or_none="that of the options")
        return fit_late(
            self.blocks,
            rank,
            fit_on,
            inputs=self.inputs,
            predictions=self.predictions,
            probabilities=self.probabilities,
            weighting=self.weighting,
            solver=self.solver,
            seed=self.seed if seed is None else seed,
            start=self._factor_of(start, rank) if isinstance(start, Concepts) else start,
        )

    def _factor_of(self, start: Concepts, rank: int) -> Tensor:
        if start.rank != rank:
            raise ValueError(
                f"start: found {start.rank} concepts where rank={rank} are asked for; pass rank={start.rank}, or None "
                "to start anew."
            )
        if not has_same_samples(start.inputs, self.inputs):
            raise ValueError(
                "start: its concepts are those of other samples than the probe's, so that its affinities do not fit "
                "them; pass the probe of `start`, or None to start anew."
            )
        return start.F

    def part(self, samples: Tensor) -> CapturedProbe:
        """What the model has computed for some of the samples.

        Args:
            samples: Their positions, shape (n,).
        """
        blocks = [replace(block, samples=_rows(block.samples, samples)) for block in self.blocks]
        predictions = None if self.predictions is None else _rows(self.predictions, samples)
        probabilities = None if self.probabilities is None else _rows(self.probabilities, samples)
        return replace(
            self,
            blocks=tuple(blocks),
            inputs=_rows(self.inputs, samples),
            predictions=predictions,
            probabilities=probabilities,
        )


def _rows(tensor: Tensor, samples: Tensor) -> Tensor:
    """Some rows of a tensor on any device."""
    return tensor[samples.to(tensor.device)]
