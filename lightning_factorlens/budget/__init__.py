"""The time that the lens takes: which observations are made in full, which figures are drawn, and what they cost."""

from lightning_factorlens.budget.overhead_budget import DEFAULT_FRACTION, OverheadBudget

__all__ = ["DEFAULT_FRACTION", "OverheadBudget"]
