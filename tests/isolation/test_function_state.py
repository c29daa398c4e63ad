"""Global variables that `forward` names, defaults and attributes of its functions are part of a model's state."""

import torch
from torch import nn

from lightning_factorlens.isolation.function_state import called_functions
from lightning_factorlens.isolation.isolation import isolate_model

CALLS = {"n": 0}
TOTAL = 0
UNRELATED = {"n": 0}


class Registry:
    seen = 0


def _count():
    CALLS["n"] += 1
    Registry.seen += 1


class UsesGlobals(nn.Module):
    def forward(self, x, cache=[]):  # noqa: B006
        global TOTAL, LATE
        TOTAL += 1
        LATE = TOTAL
        cache.append(TOTAL)
        UsesGlobals.forward.n = getattr(UsesGlobals.forward, "n", 0) + 1
        self._helper()
        return x

    def _helper(self):
        _count()

    def train_dataloader(self):
        return UNRELATED


def test_global_variables_that_forward_changes_are_restored():
    model = UsesGlobals()
    with isolate_model(model):
        model(torch.zeros(2))
        model(torch.zeros(2))
        assert TOTAL == CALLS["n"] == Registry.seen == 2
    assert TOTAL == CALLS["n"] == Registry.seen == 0
    assert "LATE" not in globals()
    assert UsesGlobals.forward.__defaults__ == ([],)
    assert not hasattr(UsesGlobals.forward, "n")


def test_functions_that_forward_does_not_call_are_not_searched():
    names = [function.__name__ for function in called_functions(UsesGlobals)]
    assert names == ["forward", "_helper"]


def test_functions_of_installed_packages_are_not_searched():
    assert called_functions(nn.TransformerEncoder) == []
