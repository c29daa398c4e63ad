"""Training with and without the callback, compared bit for bit: ``python -m benchmarks.safety.bitwise_identity``."""
