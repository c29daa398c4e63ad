"""Signals that see training labels: for comparison, never part of a label-free claim."""
