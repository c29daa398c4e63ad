"""Signals of singular vectors and the semantic hierarchy, against oracles and nulls: ``python -m benchmarks.hierarchy``."""
