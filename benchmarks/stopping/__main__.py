"""Scores stopping rules on the committed records; the same command as ``python -m benchmarks.stopping.score``."""

from benchmarks.stopping.score import main

if __name__ == "__main__":
    main()
