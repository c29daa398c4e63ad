"""Lightning's own example scripts with the callback added: ``python -m benchmarks.safety.lightning_examples``."""
