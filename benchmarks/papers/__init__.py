"""Claims of the papers about trained networks, measured again with seeds, intervals and controls.

The claims are those of Saini and Papalexakis (2018), "Characterizing & exploring deep CNN representations using
factorization", and, for batches sorted by class, of the same authors' "A peek into the hidden layers of a convolutional
neural network through a factorization lens" (2018), arXiv 1806.02012.

    python -m benchmarks.papers --data-dir DATA [--quick] [--only classes subsets epochs sorted]
"""
