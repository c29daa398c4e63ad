"""Benchmarks, one package per topic, run from the repository's root as ``python -m benchmarks.TOPIC``."""
