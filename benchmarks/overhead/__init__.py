"""Time and log files that the callback adds to a training run: ``python -m benchmarks.overhead``."""
