"""α of samples whose exponent is known: Pareto draws, and published data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lightning_factorlens.spectra.goodness_of_fit import goodness_of_fit
from lightning_factorlens.spectra.power_law import fit_power_law

#: Exponents of the Pareto draws.
PARETO = (2.0, 3.0, 5.0, 8.0)
SAMPLES = 500
#: x_min, α and size of the tail in Table 6.1 of Clauset, Shalizi and Newman (2009), "Power-law distributions in
#: empirical data".
PUBLISHED = {
    "blackouts": (230e3, 2.3, 59),
    "cities": (52.46e3, 2.37, 580),
    "fires": (6324, 2.2, 521),
    "flares": (323, 1.79, 1711),
}
#: The same for two data sets that are rounded to few distinct values.
ROUNDED = {"quakes": (794, 1.64, 11697), "surnames": (111.92e3, 2.5, 239)}


def coverage(alpha: float, draws: int) -> dict[str, float]:
    """Fraction of Pareto samples whose fitted α lies within 2σ of the truth, for three estimates of σ.

    Args:
        alpha: The true exponent.
        draws: Number of samples, each of `SAMPLES` values.

    Returns:
        ``given``: x_min given; ``formula``: x_min fitted, σ = (α − 1) / √n; ``bootstrap``: x_min fitted, σ by
        bootstrap.
    """
    # Other draws for every α: with the same draws all α would have the same result, as the fit is equivariant.
    random = np.random.default_rng(int(1000 * alpha))
    hits = np.zeros(3)
    for draw in range(draws):
        x = torch.from_numpy((1 - random.random(SAMPLES)) ** (-1 / (alpha - 1)))
        fit = fit_power_law(x)
        given = fit_power_law(x, min_tail=SAMPLES)
        bootstrap_sigma = goodness_of_fit(x, fit, draws=50, seed=draw).sigma
        hits += [
            abs(given.alpha - alpha) <= 2 * given.sigma,
            abs(fit.alpha - alpha) <= 2 * fit.sigma,
            abs(fit.alpha - alpha) <= 2 * bootstrap_sigma,
        ]
    return dict(zip(("given", "formula", "bootstrap"), (hits / draws).tolist()))


def reproduce(folder: Path) -> dict[str, dict[str, float]]:
    """α of the published data sets: x_min is fitted, except for the rounded ones, where it is given as published.

    Args:
        folder: Folder with ``blackouts.txt`` and so on; a data set without a file is left out.
    """
    found: dict[str, dict[str, float]] = {}
    for name, (x_min, alpha, n_tail) in {**PUBLISHED, **ROUNDED}.items():
        path = folder / f"{name}.txt"
        if not path.exists():
            continue
        x = np.sort(np.loadtxt(path).ravel())
        min_tail = 2
        if name in ROUNDED:  # with many equal values, x_min depends on how ties are counted
            x = x[x >= x_min * 0.999]
            min_tail = len(x)
        fit = fit_power_law(torch.from_numpy(x), threshold=0.0, min_tail=min_tail)
        found[name] = {
            "published": alpha,
            "published_x_min": x_min,
            "published_tail": n_tail,
            "alpha": fit.alpha,
            "sigma": fit.sigma,
            "x_min": fit.x_min,
            "n_tail": fit.n_tail,
        }
    return found
