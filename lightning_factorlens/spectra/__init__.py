"""Spectra of weights: the singular values of every layer, and what they show about training.

- ``layer_spectra`` turns every weight of a model into a matrix (``unfold_weight``, ``toeplitz``), computes its squared
  singular values and fits a power law to them (``power_law``). ``alpha_summary`` takes means over the layers.
- ``bulk_edge`` separates the eigenvalues of noise from the others (``marchenko_pastur``).
- ``add_goodness_of_fit`` tests whether the power law is plausible (``goodness_of_fit``, ``likelihood_ratio``), and
  ``add_correlation_traps`` counts outlying eigenvalues that single large entries cause (``correlation_traps``).
- ``spectra_rows`` and ``spectra_frame`` convert spectra to tables.
- ``tensor_svd`` decomposes a convolution into three convolutions.

Some functions have the name of the module that defines them. To import other names of such a module, write
``from lightning_factorlens.spectra.goodness_of_fit import GoodnessOfFit``.

Example:
    >>> import torch
    >>> from lightning_factorlens.spectra import alpha_summary, layer_spectra
    >>> model = torch.nn.Sequential(torch.nn.Linear(60, 40), torch.nn.ReLU(), torch.nn.Linear(40, 30))
    >>> spectra = layer_spectra(model)
    >>> [spectrum.layer for spectrum in spectra]
    ['0', '2']
    >>> alpha_summary(spectra).layers
    2
"""

from lightning_factorlens.linalg.unfolding import channel_slices, unfold_weight
from lightning_factorlens.spectra.cache import SpectraCache
from lightning_factorlens.spectra.correlation_traps import CorrelationTraps, correlation_traps
from lightning_factorlens.spectra.diagnostics import add_correlation_traps, add_goodness_of_fit
from lightning_factorlens.spectra.goodness_of_fit import GoodnessOfFit, goodness_of_fit
from lightning_factorlens.spectra.layer_spectra import alpha_summary, layer_spectra
from lightning_factorlens.spectra.likelihood_ratio import LikelihoodRatioTest, compare_power_law
from lightning_factorlens.spectra.marchenko_pastur import MarchenkoPasturBulk, bulk_edge
from lightning_factorlens.spectra.power_law import fit_like_weightwatcher, fit_power_law
from lightning_factorlens.spectra.spectral_summary import spectral_summary, squared_singular_values
from lightning_factorlens.spectra.table import spectra_frame, spectra_rows
from lightning_factorlens.spectra.tensor_svd import TensorSVD, tensor_svd
from lightning_factorlens.spectra.toeplitz import circular_singular_values, dense_operator

__all__ = [
    "CorrelationTraps",
    "GoodnessOfFit",
    "LikelihoodRatioTest",
    "MarchenkoPasturBulk",
    "SpectraCache",
    "TensorSVD",
    "add_correlation_traps",
    "add_goodness_of_fit",
    "alpha_summary",
    "bulk_edge",
    "channel_slices",
    "circular_singular_values",
    "compare_power_law",
    "correlation_traps",
    "dense_operator",
    "fit_like_weightwatcher",
    "fit_power_law",
    "goodness_of_fit",
    "layer_spectra",
    "spectra_frame",
    "spectra_rows",
    "spectral_summary",
    "squared_singular_values",
    "tensor_svd",
    "unfold_weight",
]
