"""The papers' observations on trained networks, measured again with seeds, intervals and controls.

python -m benchmarks.papers --data-dir DATA [--quick] [--only classes subsets epochs sorted]
"""
