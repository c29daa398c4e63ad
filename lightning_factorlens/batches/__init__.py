"""Samples as batches of any structure: their inputs, their rows, and the probe, whose batches pass through a model."""
