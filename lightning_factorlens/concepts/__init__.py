"""Analyses of the factors and the probe; labels are only used as names."""
