"""The parts of a model's output."""

from collections import OrderedDict, namedtuple
from contextlib import nullcontext
from dataclasses import dataclass
from weakref import ref

import torch
from torch import nn

from lightning_factorlens import LensOptions
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.capture.output_parts import find_parts, inspect_outputs
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.lens.model_runner import ModelRunner

Pair = namedtuple("Pair", "mean variance")


@dataclass
class Found:
    logits: torch.Tensor
    loss: torch.Tensor


def test_parts_of_every_container_are_found_by_their_paths():
    rows = torch.rand(4, 3)
    output = OrderedDict(
        out=rows,
        pair=Pair(rows, rows),
        found=Found(rows, torch.tensor(1.0)),
        ids=torch.zeros(4, 2).long(),
        layers=(rows, [rows]),
    )
    assert list(find_parts(output, 4)) == [
        "out",
        "pair.mean",
        "pair.variance",
        "found.logits",
        "layers.0",
        "layers.1.0",
    ]
    assert list(find_parts(rows, 4)) == [""]
    assert find_parts(rows, 3) == {}


def runner_of(model):
    return ModelRunner(model, LensOptions(ranks=(1,)), None, nullcontext, SingleProcess())


def test_a_part_as_wide_as_the_batch_is_left_out():
    class Similarities(nn.Linear):
        def forward(self, x):
            z = super().forward(x)
            return z @ z.T, z

    (part,) = runner_of(Similarities(5, 3)).inspect_outputs(Batch.wrap(torch.rand(3, 5)))
    assert (part.path, part.shape) == ("1", (3,))


def test_a_model_without_gradients_is_inspected_without_them():
    class Refuses(nn.Linear):
        def forward(self, x):
            if torch.is_grad_enabled():
                raise RuntimeError("no gradients")
            return super().forward(x)

    (part,) = runner_of(Refuses(5, 3)).inspect_outputs(Batch.wrap(torch.rand(2, 5)))
    assert (part.shape, part.signature) == ((3,), None)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3)).train()
    before = [tensor.clone() for tensor in [*model.parameters(), *model.buffers()]]
    state = torch.get_rng_state()
    runner_of(model).inspect_outputs(Batch.wrap(torch.rand(3, 5)))
    assert all(torch.equal(a, b) for a, b in zip(before, [*model.parameters(), *model.buffers()]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    torch.set_rng_state(state)


def test_a_softmax_in_another_dtype_is_recognised():
    class Half(nn.Linear):
        def forward(self, x):
            return super().forward(x).softmax(-1).bfloat16()

    model = Half(5, 3)
    (part,) = inspect_outputs(model, model, torch.rand(2, 5), 2)
    assert (part.softmax_axis, part.is_probability) == (1, True)


def test_attention_weights_are_not_kept_while_the_model_runs():
    class Attends(nn.Linear):
        def forward(self, x):
            weights = [(x[:, :, None] + k).softmax(-1) for k in range(3)]
            references.extend(map(ref, weights))
            n_alive.append([len(weights), sum(weight() is not None for weight in references)])
            del weights
            n_alive.append([0, sum(weight() is not None for weight in references)])
            return super().forward(x).softmax(-1)

    references, n_alive = [], []
    model = Attends(5, 3)
    (part,) = inspect_outputs(model, model, torch.rand(2, 5), 2)
    assert n_alive == [[3, 3], [0, 1]]  # the last one may be the output in another dtype
    assert part.softmax_axis == 1


def test_a_model_that_takes_gradients_itself_is_inspected_with_the_tensors_that_it_needs():
    class Energy(nn.Linear):
        def forward(self, x):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                energy = super().forward(x).square()
                (force,) = torch.autograd.grad(energy.sum(), x, create_graph=True)
            return energy, force

    model = Energy(3, 2)
    found = runner_of(model).inspect_outputs(Batch.wrap(torch.rand(4, 3)))
    assert found == inspect_outputs(model, model, torch.rand(4, 3), 4)
    assert all(part.signature for part in found)
