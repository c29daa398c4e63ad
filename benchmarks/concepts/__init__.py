"""The factorizations behind concepts, against planted factors and peers: ``python -m benchmarks.concepts``."""
