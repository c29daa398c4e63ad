"""Leaves a model as found: its modes, hooks, tensors, Python attributes, generators, and the global random states."""
