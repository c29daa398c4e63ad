"""Signals of singular vectors and the hierarchy, against oracles and nulls: ``python -m benchmarks.hierarchy``."""
