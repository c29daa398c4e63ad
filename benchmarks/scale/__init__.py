"""What an observation costs as models, samples, ranks and processes grow: ``python -m benchmarks.scale``."""
