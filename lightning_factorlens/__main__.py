"""Runs the command line: ``python -m lightning_factorlens``."""

import sys

from lightning_factorlens.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
