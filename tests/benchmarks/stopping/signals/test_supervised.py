"""Signals that see labels, against gradients that autograd takes one image and one batch at a time."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis
from torch import nn

from benchmarks.stopping.signals.supervised.gradient_alignment import (
    gradient_weight_alignment,
    gradient_weight_alignments,
)
from benchmarks.stopping.signals.supervised.gradient_disparity import batch_gradients, gradient_disparity


def problem(n=30, d=8, k=4):
    g = torch.Generator().manual_seed(0)
    head = nn.Linear(d, k).double()
    return head, torch.randn(n, d, generator=g).double(), torch.randint(0, k, (n,), generator=g)


def test_alignments_are_autograds():
    head, features, labels = problem()
    expected = []
    for x, y in zip(features, labels):
        (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(head(x), y), [head.weight])
        expected.append(torch.cosine_similarity(-gradient.flatten(), head.weight.flatten(), dim=0).item())
    arguments = head(features).detach(), labels, features, head.weight.detach()
    assert gradient_weight_alignments(*arguments).numpy() == pytest.approx(np.array(expected), rel=1e-9)
    assert gradient_weight_alignment(*arguments) == pytest.approx(np.mean(expected) / (kurtosis(expected) + 1.2))


def test_an_image_without_a_gradient_counts_as_zero():
    head, features, labels = problem()
    features[3] = 0
    assert gradient_weight_alignments(head(features).detach(), labels, features, head.weight.detach())[3] == 0


def test_disparity_is_the_mean_distance_of_autograds_gradients():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 4))
    model[0].bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    batches = [(torch.randn(10, 8), torch.randint(0, 4, (10,))) for _ in range(4)]
    loss = lambda batch: nn.functional.cross_entropy(model(batch[0]), batch[1])  # noqa: E731
    rows = batch_gradients(model, loss, batches)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model.eval()
    expected = []
    for batch in batches:
        model.zero_grad()
        loss(batch).backward()
        expected.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]).double())
    distances = [(expected[i] - expected[j]).norm().item() for i in range(4) for j in range(i)]
    assert gradient_disparity(rows) == pytest.approx(np.mean(distances), rel=1e-5)
    with pytest.raises(ValueError, match="at least two batches, found 1"):
        gradient_disparity(rows[:1])
