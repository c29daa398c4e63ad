"""Losses named in the code of a training step."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.capture.training_code import losses_in_code


class Held(nn.Module):
    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def training_step(self, batch, batch_idx):
        return self.shared_step(batch)

    def shared_step(self, batch):
        return self.criterion(batch, batch)


class Inner(nn.Module):
    def training_step(self, batch, batch_idx):
        def closure():
            return F.mse_loss(batch, batch)

        return closure() + torch.nn.functional.cross_entropy(batch, batch)


class Product(nn.Module):
    def training_step(self, batch, batch_idx):
        return F.cross_entropy(batch @ batch.T, batch)


@pytest.mark.parametrize(
    ("module", "losses"),
    [
        (Held(nn.CrossEntropyLoss()), {"cross-entropy"}),
        (Held(nn.NLLLoss()), {"cross-entropy"}),
        (Held(nn.MSELoss()), {"MSELoss"}),
        (Held(nn.BCEWithLogitsLoss()), {"BCEWithLogitsLoss"}),
        (Inner(), {"cross-entropy", "mse_loss"}),
        (Product(), {"cross-entropy", "similarity"}),
        (nn.Identity(), set()),
    ],
)
def test_the_losses_and_similarities_that_a_training_step_names(module, losses):
    assert losses_in_code(module) == losses
