"""The lens from a shell: ``factorlens`` and ``python -m lightning_factorlens``."""
