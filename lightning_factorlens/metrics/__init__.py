"""Factors, outputs or weights in, numbers out."""
