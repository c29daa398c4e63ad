"""What a lens measures, checked when it is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_factorlens._validation import check_bool, check_choice, check_int
from lightning_factorlens.capture.selection import LayerPatterns, check_patterns
from lightning_factorlens.capture.signs import SignPolicy, resolve_sign_policy
from lightning_factorlens.factorization import WEIGHTINGS, Solver, Weighting, check_solver, checked_ranks


@dataclass(frozen=True)
class LensOptions:
    """What a lens measures. Plain types, so that a YAML file can set them.

    Attributes:
        layers: None for the automatic choice; else globs, ``"re:…"``, ``"type:…"`` or module types.
        ranks: Ranks of the coupled factorisation, all fitted in one batch.
        solver: An object with its options; `HALS` unless given.
        weighting: ``"unit"``: every block has the same share; ``"raw"``: every entry, as in the papers.
        input_sign_policy: What becomes of inputs below zero: ``"shift"``, ``"rectify"``, ``"split"``, ``"semi"``, or an
            object such as ``Unnormalize(mean, std)``.
        activation_sign_policy: The same for layers.
        alpha: Whether to fit power laws to the spectra of the weights.
        max_neurons_per_layer: Neurons kept a layer, drawn once and corrected for; None keeps all.
        error_thresholds: Relative errors whose rank@τ is reported.
        shift: Pixels of the shift behind ``consistency``; None for a sixteenth of the image, 0 for none.
        seed: Of all that is drawn.
    """

    layers: LayerPatterns = None
    ranks: Sequence[int] = (1, 2, 4, 8, 16, 32)
    solver: Solver | None = None
    weighting: Weighting = "unit"
    input_sign_policy: str | SignPolicy = "shift"
    activation_sign_policy: str | SignPolicy = "rectify"
    fit_power_law: bool = True
    max_neurons_per_layer: int | None = 4096
    error_thresholds: Sequence[float] = (0.5, 0.3)
    consistency_shift: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", checked_ranks(self.ranks))
        resolve_sign_policy("input_sign_policy", self.input_sign_policy)
        resolve_sign_policy("activation_sign_policy", self.activation_sign_policy)
        check_patterns(self.layers)
        check_choice("weighting", self.weighting, WEIGHTINGS)
        check_int("max_neurons_per_layer", self.max_neurons_per_layer, 1, or_none="all")
        check_int("shift", self.consistency_shift, 0, or_none="a sixteenth of the image")
        check_int("seed", self.seed, 0)
        check_bool("alpha", self.fit_power_law)
        if not isinstance(self.error_thresholds, (tuple, list)) or not all(
            isinstance(t, float) and 0 < t < 1 for t in self.error_thresholds
        ):
            raise ValueError(
                f"error_thresholds: must be a list of relative errors between 0 and 1, found {self.error_thresholds!r}."
            )
        check_solver(self.solver)
