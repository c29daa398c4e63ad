"""What a lens measures, checked when it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_factorlens.arguments import flag, one_of, whole
from lightning_factorlens.factorization import WEIGHTINGS, Solver, Weighting, checked_ranks
from lightning_factorlens.probing.selection import LayerPatterns, check_patterns
from lightning_factorlens.probing.signs import SignPolicy, sign_policy


@dataclass(frozen=True)
class LensOptions:
    """What a lens measures. Plain types, so that a YAML file can set them.

    Attributes:
        layers: None for the automatic choice; else globs, ``"re:…"``, ``"type:…"`` or module types.
        ranks: Ranks of the coupled factorisation, all fitted in one batch.
        solver: An object with its options; `HALS` unless given.
        weighting: ``"unit"``: every block has the same share; ``"raw"``: every entry, as in the papers.
        signed_inputs: What becomes of inputs below zero: ``"shift"``, ``"rectify"``, ``"split"``, ``"semi"``, or an
            object such as ``Unnormalize(mean, std)``.
        signed_activations: The same for layers.
        alpha: Whether to fit power laws to the spectra of the weights.
        max_features: Neurons kept a layer, drawn once and corrected for; None keeps all.
        taus: Relative errors whose rank@τ is reported.
        shift: Pixels of the shift behind ``consistency``; None for a sixteenth of the image, 0 for none.
        seed: Of all that is drawn.
    """

    layers: LayerPatterns = None
    ranks: Sequence[int] = (1, 2, 4, 8, 16, 32)
    solver: Solver | None = None
    weighting: Weighting = "unit"
    signed_inputs: str | SignPolicy = "shift"
    signed_activations: str | SignPolicy = "rectify"
    alpha: bool = True
    max_features: int | None = 4096
    taus: Sequence[float] = (0.5, 0.3)
    shift: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", checked_ranks(self.ranks))
        sign_policy("signed_inputs", self.signed_inputs)
        sign_policy("signed_activations", self.signed_activations)
        check_patterns(self.layers)
        one_of("weighting", self.weighting, WEIGHTINGS)
        whole("max_features", self.max_features, 1, or_none="all")
        whole("shift", self.shift, 0, or_none="a sixteenth of the image")
        whole("seed", self.seed, 0)
        flag("alpha", self.alpha)
        if not isinstance(self.taus, (tuple, list)) or not all(isinstance(t, float) and 0 < t < 1 for t in self.taus):
            raise ValueError(f"taus: must be a list of relative errors between 0 and 1, found {self.taus!r}.")
        solver = self.solver
        if solver is not None and (isinstance(solver, type) or not hasattr(solver, "step")):
            raise TypeError(f"solver: found {solver!r}; give an object such as HALS() or MultiplicativeUpdates().")
