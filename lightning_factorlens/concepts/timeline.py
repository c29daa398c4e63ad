"""What becomes of concepts through training: which continue, and which are born, split, merged or lost.

The affinities f_k of an earlier fit and g_j of a later one, with norm 1, are compared over the same samples. With the
non-negative weights a that minimise ‖f_k − Σ_j a_j g_j‖, the share of f_k that has gone into g_j is a_j ⟨f_k, g_j⟩:
the shares are non-negative and their sum is ‖Σ_j a_j g_j‖², at most 1. The share of g_j that came from f_k is found
likewise.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lightning_factorlens.concepts.fold_in import solve_nnls
from lightning_factorlens.concepts.matching import SAME, has_same_samples
from lightning_factorlens.linalg.matching import match_rows, unit_rows
from lightning_factorlens.results import ConceptChanges, Concepts, ConceptTimeline
from lightning_factorlens.results.concept_timeline import Parts

#: Smallest share of a whole that is in a part, and of a part that is in the whole.
PART = 0.2
#: Smallest share of a whole that its parts have together.
WHOLE = 0.7
#: Smallest fraction that one whole has of all that the other fit explains of a part.
MAIN = 0.5


def follow_concepts(fits: Sequence[Concepts], labels: Sequence[str] | None = None) -> ConceptTimeline:
    """Follows concepts over several fits to one probe, e.g. after every epoch, each started from the last one.

    Args:
        fits: From `FactorLens.concepts(…, start=…)`, in order; at least one, all of the same samples.
        labels: A name for each fit; its position unless given.

    Returns:
        What happened to every concept. See `concept_changes` for the definitions.

    Raises:
        ValueError: No fits, other samples, or another number of labels.

    Example:
        >>> import torch
        >>> from lightning_factorlens import FactorLens
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> lens, probe = FactorLens(model), torch.rand(12, 6)
        >>> first = lens.concepts(probe, rank=3)
        >>> print(follow_concepts([first, lens.concepts(probe, rank=3, start=first)], ["epoch 0", "epoch 1"]))
        2 fits from epoch 0 to epoch 1
        no concept was born, split, merged or lost
    """
    if isinstance(fits, Concepts):
        raise ValueError("fits: found Concepts alone; give a list of the concepts of one or more fits, in order.")
    if not fits:
        raise ValueError("fits: found none; give the concepts of one or more fits, in order.")
    names = [str(position) for position in range(len(fits))] if labels is None else list(labels)
    if len(names) != len(fits):
        raise ValueError(f"labels: found {len(names)} for {len(fits)} fits; give one for each, or None.")
    for position, fit in enumerate(fits):
        if not has_same_samples(fits[0].inputs, fit.inputs):
            raise ValueError(f"fits: number {position} is of other samples than the first; use one probe for all.")
    changes = [concept_changes(earlier.F, later.F) for earlier, later in zip(fits, fits[1:])]
    alive = [tuple(fit.F.any(1).tolist()) for fit in fits]
    return ConceptTimeline(tuple(names), tuple(alive), tuple(changes))


def concept_changes(earlier: Tensor, later: Tensor) -> ConceptChanges:
    """What becomes of the concepts of one fit in the next.

    - A concept continues its partner of the assignment (`match_rows`) if their cosine is at least 0.7.
    - An earlier concept is split if at least two later ones are its parts, which together have at least 0.7 of it. A
      part has at least 0.2 of the whole, is itself to at least 0.2 made of it, and of all that the earlier concepts
      explain of the part, the whole has at least half.
    - Earlier concepts are merged if they are in the same sense the parts of a later one.
    - A later concept is born if it continues none, and is neither a part of a split one nor a sum of merged ones.
    - An earlier concept dies if none continues it, and it is neither split nor merged.

    Args:
        earlier: F of the earlier fit, shape (r, N).
        later: F of the later fit to the same samples, shape (s, N).

    Example:
        >>> import torch
        >>> halves = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]])
        >>> concept_changes(halves.sum(0, keepdim=True), halves).splits
        ((0, (0, 1)),)
    """
    previous, cosine = match_rows(later, earlier)
    continues = cosine >= SAME
    given = shares(earlier, later)
    received = shares(later, earlier)
    splits = _wholes(given, received)
    merges = _wholes(received, given)
    explained = {part for _, parts in splits for part in parts} | {whole for whole, _ in merges}
    ended = {whole for whole, _ in splits} | {part for _, parts in merges for part in parts}
    is_new = later.any(1).cpu() & ~continues
    is_gone = earlier.any(1).cpu()
    is_gone[previous[continues]] = False
    return ConceptChanges(
        previous=tuple(previous.tolist()),
        cosine=tuple(cosine.tolist()),
        continues=tuple(continues.tolist()),
        births=tuple(j for j in is_new.nonzero()[:, 0].tolist() if j not in explained),
        deaths=tuple(k for k in is_gone.nonzero()[:, 0].tolist() if k not in ended),
        splits=splits,
        merges=merges,
    )


def shares(wholes: Tensor, parts: Tensor) -> Tensor:
    """How much of every row is in each row of another matrix, by non-negative least squares.

    Args:
        wholes: Non-negative, shape (r, n).
        parts: Non-negative, shape (s, n).

    Returns:
        Shape (r, s), float64, non-negative. The sum of a row is the share that all parts explain together, at most 1.

    Example:
        >>> import torch
        >>> shares(torch.tensor([[1.0, 1.0, 0.0]]), torch.eye(3)[:2]).round(decimals=4).tolist()
        [[0.5, 0.5]]
    """
    unit_wholes = unit_rows(wholes)
    unit_parts = unit_rows(parts)
    B = unit_parts @ unit_wholes.T
    return (solve_nnls(B, unit_parts @ unit_parts.T) * B).T


def _wholes(given: Tensor, received: Tensor) -> tuple[Parts, ...]:
    """The rows that are sums of parts, with these.

    Args:
        given: Share of each whole that is in each part, shape (wholes, parts).
        received: Share of each part that is in each whole, shape (parts, wholes).
    """
    main = MAIN * received.sum(1, keepdim=True)
    is_part = (given >= PART) & ((received >= PART) & (received >= main)).T
    together = (given * is_part).sum(1)
    found: list[Parts] = []
    for whole in ((is_part.sum(1) >= 2) & (together >= WHOLE)).nonzero()[:, 0].tolist():
        found.append((whole, tuple(is_part[whole].nonzero()[:, 0].tolist())))
    return tuple(found)
