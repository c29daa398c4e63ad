"""Errors of the factorisation in a lens against the function that computes them."""

import torch
from small_lens import make_probe

from lightning_factorlens.capture.inputs import input_blocks


def test_the_problem_holds_inputs_and_activations(measured):
    observation, groups, _ = measured
    assert [block.name for block in groups.problem.blocks] == ["input/0", "relu", "act"]
    (inputs,) = input_blocks(make_probe())
    assert torch.equal(groups.problem.blocks[0].samples, inputs.samples)
    assert observation["reconstruction_error"].curves.keys() == groups.members.keys()


def test_the_record_holds_the_curves_of_all_groups(measured):
    observation, groups, factorization = measured
    curves = groups.curves(factorization)
    assert observation["reconstruction_error"].curves == curves
    assert observation.value("rel_error", "total", 4) == curves["total"].rel_error[2]
