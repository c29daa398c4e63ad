"""Speed, accuracy and memory of the factorization, compared with other libraries: ``python -m benchmarks.solver``."""
