"""Wrong labels that depend on the class or on the sample."""

from __future__ import annotations

import numpy as np

from benchmarks.stopping.campaign.source import Array


def structured_noise(
    samples: Array, labels: Array, fraction: float, classes: int, rng: np.random.Generator, kind: str
) -> Array:
    """Labels of which exactly round(fraction · n) are wrong.

    ``"pair"``: samples chosen at random get the next class (k becomes k + 1, the last class becomes the first).
    ``"some_classes"``: only samples of the first half of the classes are chosen, and get any other class.
    ``"features"``: samples near another class are chosen more often, and get the class whose mean is nearest to them
    among the others. This is a simple form of the instance-dependent noise of Xia et al. (2020), "Part-dependent label
    noise": samples are ranked by the distance to the nearest mean of another class less that to the mean of their own,
    and those with the lowest sum of their rank (as a fraction) and a uniform number are chosen.

    Args:
        samples: Shape (n, …).
        labels: Correct classes, shape (n,).
        fraction: Fraction of wrong labels.
        classes: Number of classes.
        rng: Generator of the draws.
        kind: One of the three.

    Raises:
        ValueError: ``kind`` is another one, or too few samples have a class of the first half.
    """
    n = round(fraction * len(labels))
    noisy = labels.copy()
    if kind == "pair":
        chosen = rng.permutation(len(labels))[:n]
        noisy[chosen] = (labels[chosen] + 1) % classes
    elif kind == "some_classes":
        members = np.flatnonzero(labels < (classes + 1) // 2)
        if len(members) < n:
            raise ValueError(
                f"fraction: {n} labels should be wrong, and {len(members)} have a class of the first half."
            )
        chosen = rng.permutation(members)[:n]
        noisy[chosen] = (labels[chosen] + rng.integers(1, classes, n)) % classes
    elif kind == "features":
        margins, nearest = _nearest_other_class(samples, labels, classes)
        ranks = margins.argsort().argsort() / len(labels)
        chosen = (ranks + rng.random(len(labels))).argsort()[:n]
        noisy[chosen] = nearest[chosen]
    else:
        raise ValueError(f"kind: must be 'pair', 'some_classes' or 'features', found {kind!r}.")
    return noisy


def _nearest_other_class(samples: Array, labels: Array, classes: int) -> tuple[Array, Array]:
    """How much farther the nearest other class's mean is than the own one's, and which class that is, shape (n,)."""
    flat = samples.reshape(len(samples), -1).astype(np.float64)
    means = np.stack([flat[labels == k].mean(0) for k in range(classes)])
    distances = np.sqrt(((flat[:, None] - means) ** 2).sum(-1))
    rows = np.arange(len(flat))
    own = distances[rows, labels].copy()
    distances[rows, labels] = np.inf
    nearest = distances.argmin(1)
    return distances[rows, nearest] - own, nearest
