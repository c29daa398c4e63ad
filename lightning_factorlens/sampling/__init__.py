"""Draws the samples of the probe from datasets and loaders, and leaves these as found."""
