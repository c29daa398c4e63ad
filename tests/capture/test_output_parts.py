"""The parts of a model's output."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from weakref import ref

import torch
from torch import nn

from lightning_factorlens.capture.output_parts import find_parts, inspect_outputs

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
