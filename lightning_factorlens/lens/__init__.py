"""`FactorLens`: one observation of one model, made by the other packages together, without lightning."""

from lightning_factorlens.lens.factor_lens import FactorLens

__all__ = ["FactorLens"]
