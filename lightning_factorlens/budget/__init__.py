"""The time that the lens takes: which observations are made in full, which figures are drawn, and what they cost."""

# For the other packages: without an `__all__` none of these names is public.
from lightning_factorlens.budget.overhead_budget import DEFAULT_FRACTION as DEFAULT_FRACTION
from lightning_factorlens.budget.overhead_budget import OverheadBudget as OverheadBudget
