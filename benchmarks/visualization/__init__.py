"""Feature visualisation, deconvnets, node importance and node health: ``python -m benchmarks.visualization``."""
