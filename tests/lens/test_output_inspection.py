"""What the pass finds that looks at a model's output."""

from contextlib import nullcontext

import torch
from torch import nn

from lightning_factorlens import LensOptions
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.capture.output_parts import inspect_outputs
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.lens.model_runner import ModelRunner
from lightning_factorlens.lens.output_inspection import find_output_parts


def runner_of(model):
    return ModelRunner(model, LensOptions(ranks=(1,)), None, nullcontext, SingleProcess())


def test_a_part_as_wide_as_the_batch_is_left_out():
    class Similarities(nn.Linear):
        def forward(self, x):
            z = super().forward(x)
            return z @ z.T, z

    (part,) = find_output_parts(runner_of(Similarities(5, 3)), Batch.wrap(torch.rand(3, 5)))
    assert (part.path, part.shape) == ("1", (3,))


def test_a_model_without_gradients_is_inspected_without_them():
    class Refuses(nn.Linear):
        def forward(self, x):
            if torch.is_grad_enabled():
                raise RuntimeError("no gradients")
            return super().forward(x)

    (part,) = find_output_parts(runner_of(Refuses(5, 3)), Batch.wrap(torch.rand(2, 5)))
    assert (part.shape, part.signature) == ((3,), None)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3)).train()
    before = [tensor.clone() for tensor in [*model.parameters(), *model.buffers()]]
    state = torch.get_rng_state()
    find_output_parts(runner_of(model), Batch.wrap(torch.rand(3, 5)))
    assert all(torch.equal(a, b) for a, b in zip(before, [*model.parameters(), *model.buffers()]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    torch.set_rng_state(state)


def test_a_model_that_takes_gradients_itself_is_inspected_with_the_tensors_that_it_needs():
    class Energy(nn.Linear):
        def forward(self, x):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                energy = super().forward(x).square()
                (force,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
            return energy, force

    model = Energy(3, 2)
    found = find_output_parts(runner_of(model), Batch.wrap(torch.rand(4, 3)))
    assert found == inspect_outputs(model, model, torch.rand(4, 3), 4)
    assert all(part.signature for part in found)
