"""What the tests of concepts have in common."""

import pytest

from lightning_factorlens.lens.model_runner import ModelRunner


@pytest.fixture
def passes(monkeypatch):
    """The number of samples of every pass that the lens makes through a model."""
    found = []
    call = ModelRunner.call

    def counting(runner, batch):
        found.append(len(batch))
        return call(runner, batch)

    monkeypatch.setattr(ModelRunner, "call", counting)
    return found
