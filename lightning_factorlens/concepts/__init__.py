"""Factors and images in, findings as data out."""
