"""A study of stopping rules that see no labels, on recorded training runs: ``python -m benchmarks.stopping``."""
