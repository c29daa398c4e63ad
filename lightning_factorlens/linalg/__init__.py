"""Tensors in, tensors out: the numerical floor of the house."""
