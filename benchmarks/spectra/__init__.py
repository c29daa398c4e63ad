"""Agreement, cost and usefulness of the power-law exponents: ``python -m benchmarks.spectra``."""
