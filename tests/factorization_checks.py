"""What several tests of the factorization package use."""

import pytest
import torch

from lightning_factorlens.factorization import factor_update, hals
from lightning_factorlens.results import Block

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is available")


def relative_errors(result, blocks, stacked):
    """The relative error at each rank, from the products of the factors."""
    X = stacked(blocks, result.weights)
    errors = []
    for F, factors in zip(result.F, result.W):
        weighted = [weight * (W.double() @ F.double()) for weight, W in zip(result.weights, factors)]
        errors.append(float((X - torch.cat(weighted)).norm() / X.norm()))
    return errors


def on_device(blocks, move):
    """The blocks with their samples moved to another device."""
    return [Block(b.name, b.kind, move(b.samples), b.shape, b.signed) for b in blocks]


def use_nnls_solver(monkeypatch, make):
    """Makes HALS solve its least-squares problems with ``make(sizes, grams)``."""
    for module in (hals, factor_update):
        monkeypatch.setattr(module, "make_nnls_solver", lambda sizes, G, prox_=None: make(sizes, G))
