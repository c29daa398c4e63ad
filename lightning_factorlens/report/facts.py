"""What the last observation of a subject says, in sentences with numbers."""

from __future__ import annotations

import math
from statistics import mean

from lightning_factorlens.plots.alpha import MIN_EIGENVALUES
from lightning_factorlens.report.parts import Text
from lightning_factorlens.report.subject import Subject
from lightning_factorlens.results import LayerSpectra, RequiredRanks, ScopedScalar
from lightning_factorlens.results.leading_scalar import is_untrained
from lightning_factorlens.results.record import is_input_block

#: Exponents between these are what Martin and Mahoney (2021), "Implicit self-regularization in deep neural networks",
#: find in well-trained networks.
ALPHA_RANGE = (2.0, 6.0)


def facts(subject: Subject) -> list[Text]:
    """The sentences, of those records that the subject has.

    Args:
        subject: A run or a checkpoint.
    """
    found = [_rank_fact(subject), _alpha_fact(subject), _health_fact(subject)]
    return [fact for fact in found if fact is not None]


def cautions(subject: Subject) -> list[Text]:
    """What is broken at the end of a subject, before which all answers are of the past.

    Args:
        subject: A run or a checkpoint.
    """
    found = [_finite_fact(subject), _weight_fact(subject)]
    return [caution for caution in found if caution is not None]


def _when(subject: Subject, record: str) -> str:
    """When a record was made that is not of the last observation, as a sentence; else empty."""
    observation = subject.latest(record)
    if observation is None or observation is subject.history[-1]:
        return ""
    moment = "before training" if is_untrained(observation) else f"at epoch {observation.epoch}"
    return f" This was measured {moment}, and not since."


def _rank_fact(subject: Subject) -> Text | None:
    record = subject.latest_record("required_rank")
    if not isinstance(record, RequiredRanks):
        return None
    parts = []
    for required in record.ranks:
        if math.isfinite(required.rank):
            sign = "more than " if required.is_lower_bound else ""
            rank = f"{required.rank:.3g}"
            noun = "component" if rank == "1" else "components"
            parts.append(f"{sign}{rank} {noun} for an error of {100 * required.tau:.4g} %")
    if not parts:
        return None
    text = f"To describe the probe's inputs and activations together takes {' and '.join(parts)}."
    return Text(text + _when(subject, "required_rank"), "Ranks.")


def _alpha_fact(subject: Subject) -> Text | None:
    record = subject.latest_record("weight_spectra")
    if not isinstance(record, LayerSpectra):
        return None
    all_exponents = record.exponents().values()
    alphas = []
    for exponent in all_exponents:
        if math.isfinite(exponent.alpha) and exponent.n >= MIN_EIGENVALUES:
            alphas.append(exponent.alpha)
    if not alphas:
        return None
    low, high = ALPHA_RANGE
    n_inside = sum(low <= alpha <= high for alpha in alphas)
    span = f", from {min(alphas):.2f} to {max(alphas):.2f}" if len(alphas) > 1 else ""
    text = (
        f"The exponent α of {len(alphas)} of {len(all_exponents)} weight matrices, those with at least "
        f"{MIN_EIGENVALUES} eigenvalues: mean {mean(alphas):.2f}{span}; {n_inside} of {len(alphas)} between "
        f"{low:g} and {high:g}, as in well-trained large networks."
    )
    return Text(text + _when(subject, "weight_spectra"), "Weights.")


def _weight_fact(subject: Subject) -> Text | None:
    """Which weights hold NaN or infinite values."""
    record = subject.latest_record("weight_spectra")
    if not isinstance(record, LayerSpectra):
        return None
    broken = [spectrum.layer for spectrum in record.layers if not spectrum.has_finite_weight]
    if not broken:
        return None
    noun = "weight matrix holds" if len(broken) == 1 else "weight matrices hold"
    return Text(f"{len(broken)} {noun} NaN or infinite values, the first is {broken[0]!r}.", "Caution.")


def _health_fact(subject: Subject) -> Text | None:
    record = subject.latest_record("node_health")
    if not isinstance(record, ScopedScalar) or "total" not in record.by_scope:
        return None
    share = f"{record['total']:.1%}"
    text = f"{share} of the units are dead, rarely active or active in single pixels, by tests over the probe."
    return Text(text + _when(subject, "node_health"), "Units.")


def _finite_fact(subject: Subject) -> Text | None:
    """Which numbers of the last full observation are NaN or infinite."""
    observation = subject.history[-1]
    names: dict[str, None] = {}
    for value in observation.values():
        if math.isinf(value.value) or (math.isnan(value.value) and _must_be_finite(value.quantity, value.scope)):
            names[value.quantity] = None
    if not names:
        return None
    text = f"{', '.join(names)}: not finite at epoch {observation.epoch}."
    if subject.is_run:
        text += " What is said below is of the observations before."
    return Text(text, "Caution.")


def _must_be_finite(quantity: str, scope: str | None) -> bool:
    """Whether a NaN is remarkable; single layers and inputs may lack a number, such as α of small weights."""
    return quantity in ("consistency", "rel_error", "effective_rank") and not (scope and is_input_block(scope))
