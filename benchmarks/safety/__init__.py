"""Checks that the callback leaves training unchanged and that its results survive: ``python -m benchmarks.safety``."""
