"""α and seconds of a whole model, ours and those of weightwatcher and powerlaw."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from lightning_factorlens.results import LayerSpectrum
from lightning_factorlens.spectra.diagnostics import add_correlation_traps
from lightning_factorlens.spectra.layer_spectra import layer_spectra
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher

#: Eigenvalues that weightwatcher leaves out of a fit are smaller than this.
SMALLEST = 1e-5


def compare_model(model: nn.Module) -> dict[str, float]:
    """Seconds and differences of α; an infinite difference stands for a layer that only one of the two could fit.

    Our times are the shortest of three calls, two before and one after the peer, which is timed once.
    """

    def slices() -> tuple[LayerSpectrum, ...]:
        return layer_spectra(model, mode="slices", fit=fit_like_weightwatcher)

    w1_spectra, w1_seconds = timed(lambda: layer_spectra(model), 2)
    slice_spectra, slice_seconds = timed(slices, 2)
    with silence():
        import weightwatcher
        from weightwatcher.WW_powerlaw import WWFit

        watcher = weightwatcher.WeightWatcher(model=model)
        table, peer_seconds = timed(watcher.analyze)
        kept = [_kept(spectrum) for spectrum in slice_spectra]
        peer_fits, peer_fit_seconds = timed(lambda: [WWFit(x) for x in kept])
        peer_w1_fits = [WWFit(_kept(spectrum)) for spectrum in w1_spectra]
    fits, fit_seconds = timed(lambda: [fit_like_weightwatcher(s.eigenvalues) for s in slice_spectra], 3)
    peer_alphas = dict(zip(table.longname, table.alpha))
    fitter_differences = [difference(ours.alpha, peer.alpha) for ours, peer in zip(fits, peer_fits)]
    for spectrum, peer in zip(w1_spectra, peer_w1_fits):
        fitter_differences.append(difference(fit_like_weightwatcher(spectrum.eigenvalues).alpha, peer.alpha))
    analyze_differences = [difference(s.fit.alpha, peer_alphas.get(s.layer, math.nan)) for s in slice_spectra]
    return {
        "layers": len(slice_spectra),
        "w1": min(w1_seconds, timed(lambda: layer_spectra(model))[1]),
        "slices": min(slice_seconds, timed(slices)[1]),
        "weightwatcher": peer_seconds,
        "fit": fit_seconds,
        "weightwatcher_fit": peer_fit_seconds,
        "alpha_analyze": max(analyze_differences),
        "alpha_fitter": max(fitter_differences),
        "alpha_powerlaw": max(_difference_to_powerlaw(s) for s in (*w1_spectra, *slice_spectra)),
    }


def compare_all_extras(model: nn.Module) -> dict[str, float]:
    """Seconds including Marchenko–Pastur edges, spikes and traps, which weightwatcher computes on request."""
    with silence():
        import weightwatcher

        _, peer = timed(lambda: weightwatcher.WeightWatcher(model=model).analyze(randomize=True, mp_fit=True))
    w1, w1_seconds = timed(lambda: add_correlation_traps(layer_spectra(model), model), 2)
    _, seconds = timed(lambda: add_correlation_traps(layer_spectra(model, mode="slices"), model), 2)
    return {"layers": len(w1), "w1": w1_seconds, "slices": seconds, "weightwatcher": peer}


def _kept(spectrum: LayerSpectrum) -> Any:
    eigenvalues = spectrum.eigenvalues.numpy()
    return eigenvalues[eigenvalues > SMALLEST]


def _difference_to_powerlaw(spectrum: LayerSpectrum) -> float:
    """Difference of α to powerlaw's with the same x_min and the same eigenvalues."""
    fit = spectrum.fit
    x = spectrum.eigenvalues.numpy()
    if not math.isfinite(fit.alpha) or fit.n < 20:  # below 20 eigenvalues weightwatcher's rule divides by n − 1
        return 0.0
    with silence():
        import powerlaw

        return float(abs(powerlaw.Fit(x[x > 0], xmin=fit.x_min, verbose=False).alpha - fit.alpha))


def difference(a: float, b: float) -> float:
    """|a − b|; 0 where both are NaN, infinite where one is."""
    if math.isnan(a) and math.isnan(b):
        return 0.0
    return float(abs(a - b)) if math.isfinite(a - b) else math.inf


def timed(function: Callable[[], Any], times: int = 1) -> tuple[Any, float]:
    """The result of the last call and the shortest wall time."""
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return result, best


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drops what the peers print, warn and log; the time that this takes them is counted."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
