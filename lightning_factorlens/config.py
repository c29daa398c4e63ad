"""Option objects: plain types or small objects, so that a YAML file can set them; checked when they are constructed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from lightning_factorlens._validation import check_bool, check_choice, check_int
from lightning_factorlens.argument_advice import arguments_of, check_known
from lightning_factorlens.capture.layer_patterns import LayerPatterns, check_patterns
from lightning_factorlens.capture.signs import SignPolicy, resolve_sign_policy
from lightning_factorlens.factorization import WEIGHTINGS, Solver, Weighting, check_solver, checked_ranks

#: The ranks unless others are given; those above the number of samples are left out.
DEFAULT_RANKS = (1, 2, 4, 8, 16, 32)
#: Largest number of samples in a probe unless another is given.
PROBE_SIZE = 256


@dataclass(frozen=True)
class LensOptions:
    """Options of a lens: what it captures and how it factorises.

    Example:
        >>> LensOptions(ranks=(4, 1)).ranks
        (1, 4)

    Attributes:
        layers: None for the automatic selection; else globs, ``"re:…"``, ``"type:…"`` or module types.
        ranks: Ranks of the coupled factorisation, all fitted in one batch, at most the number of samples. Of the
            default ranks, those above it are left out.
        solver: ``"hals"`` (the default), ``"mu"``, or a solver object with its options, such as ``HALS(max_iter=50)``.
        weighting: ``"unit"``: every block has the same weight; ``"raw"``: every entry has, as in the papers.
        input_sign_policy: How inputs below zero are made non-negative: ``"shift"``, ``"rectify"``, ``"split"``,
            ``"semi"``, or an object such as ``Denormalize(mean, std)``.
        activation_sign_policy: How activations below zero are made non-negative, with the same choices.
        max_neurons_per_layer: Neurons kept of each layer, drawn once and corrected for; None keeps all.
        seed: Seed of everything that is drawn.

    Raises:
        ValueError: A wrong value; the message names the option.
        TypeError: A solver that is neither a name nor an object of a `Solver` class.
    """

    layers: LayerPatterns = None
    ranks: Sequence[int] = DEFAULT_RANKS
    solver: Solver | str | None = None
    weighting: Weighting = "unit"
    input_sign_policy: str | SignPolicy = "shift"
    activation_sign_policy: str | SignPolicy = "rectify"
    max_neurons_per_layer: int | None = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranks", checked_ranks(self.ranks))
        resolve_sign_policy("input_sign_policy", self.input_sign_policy)
        resolve_sign_policy("activation_sign_policy", self.activation_sign_policy)
        check_patterns(self.layers)
        check_choice("weighting", self.weighting, WEIGHTINGS)
        check_int("max_neurons_per_layer", self.max_neurons_per_layer, 1, or_none="all")
        check_int("seed", self.seed, 0)
        object.__setattr__(self, "solver", check_solver(self.solver))

    def for_samples(self, n_samples: int, is_limited: bool = False) -> LensOptions:
        """These options for a probe of a number of samples.

        Args:
            n_samples: Number of samples.
            is_limited: Whether the source may have more samples than were drawn.

        Returns:
            The options; default ranks above ``n_samples`` are left out.

        Raises:
            ValueError: A rank that the user gave is above ``n_samples``.

        Example:
            >>> LensOptions().for_samples(5).ranks
            (1, 2, 4)
        """
        largest = max(self.ranks)
        if largest <= n_samples:
            return self
        if tuple(self.ranks) == DEFAULT_RANKS:
            return replace(self, ranks=tuple(rank for rank in DEFAULT_RANKS if rank <= n_samples))
        example = tuple(rank for rank in self.ranks if rank <= n_samples) or (1,)
        advice = f"lower the ranks, e.g. LensOptions(ranks={example})"
        if is_limited:
            advice += f", or raise `probe_size`, if there are more than these {n_samples} samples"
        raise ValueError(f"ranks: rank {largest} needs at least {largest} samples, found {n_samples}; {advice}.")


def options_with(
    options: LensOptions | None,
    changes: Mapping[str, Any],
    name: str = "options",
    advice: Mapping[str, str] | None = None,
    made: type | None = None,
) -> LensOptions:
    """Options with some of their fields changed.

    Args:
        options: The options; None for the default ones.
        changes: New values by the name of the field.
        name: Name of the argument that has the options, for messages.
        advice: What to do in place of passing an argument of another class of the package, by its name.
        made: The class that is made with these options, whose other arguments an error lists too; None for none.

    Raises:
        TypeError: ``options`` is something else, or a name is not that of a field.
        ValueError: As `LensOptions` raises it.

    Example:
        >>> options_with(None, {"ranks": [4]}).ranks
        (4,)
        >>> options_with(None, {"rank": 4})
        Traceback (most recent call last):
        ...
        TypeError: rank: is no argument; did you mean ranks? The options of a lens are layers, ranks, solver, ...
    """
    if options is None:
        options = LensOptions()
    if not isinstance(options, LensOptions):
        raise TypeError(
            f"{name}: must be a LensOptions or None, found {options!r}; write {name}=LensOptions(…), or give its "
            "fields by name, such as ranks=(1, 4)."
        )
    allowed = [field.name for field in fields(LensOptions)]
    others = [] if made is None else arguments_of(made)
    check_known(changes, allowed, advice or {}, "options of a lens", others)
    return replace(options, **changes)


@dataclass(frozen=True)
class TensorBoardOptions:
    """Options of what loggers show besides scalars.

    Example:
        >>> TensorBoardOptions(figures_every_n=0).layout
        True

    Attributes:
        layout: Whether TensorBoard gets a custom-scalars layout, which replaces one of your own, and a table of runs
            under HParams (unless the logger has ``default_hp_metric=False``).
        figures_every_n: Figures are drawn at the first observation, then at every n-th, and at the last, with the
            projector; 0 for none. They also go to Weights & Biases, MLflow and Comet.

    Raises:
        ValueError: A wrong value; the message names the option.
    """

    layout: bool = True
    figures_every_n: int = 5

    def __post_init__(self) -> None:
        check_bool("layout", self.layout)
        check_int("figures_every_n", self.figures_every_n, 0)
