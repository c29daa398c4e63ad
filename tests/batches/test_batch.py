"""Batches of any structure, and which of their tensors counts as the input."""

import torch
from masked_model import images

from lightning_factorlens.batches.batch import Batch, find_inputs
from lightning_factorlens.capture.forward_fn import ForwardArgs
from lightning_factorlens.capture.inputs import input_blocks


def test_a_batch_is_split_and_moved_tensor_by_tensor():
    batch = Batch.wrap(images())
    assert batch.inputs is batch.data["image"]
    part = batch[4:10]
    assert len(part) == 6
    assert part.inputs is part.data["image"]
    assert torch.equal(part.data["mask"], batch.data["mask"][4:10])
    assert part.data["name"] == ["x"] * 6
    assert [len(p) for p in batch.split(10)] == [10, 10, 4]
    moved = batch.to(torch.device("meta"))
    assert {t.device.type for t in (moved.inputs, moved.data["mask"], moved.data["label"])} == {"meta"}
    other = batch.with_inputs(torch.zeros(24, 1, 8, 8))
    assert other.data["image"] is other.inputs
    assert other.data["mask"] is batch.data["mask"]
    derived = Batch.wrap(images(), lambda b: b["image"] * 2)
    assert derived.with_inputs(derived.inputs + 1) is None


def test_which_tensor_counts_as_the_input():
    ids, mask = torch.randint(0, 9, (4, 5)), torch.ones(4, 5, dtype=torch.long)
    assert find_inputs({"attention_mask": mask, "input_ids": ids}) is ids
    assert find_inputs((ids, torch.arange(4))) is ids
    x = torch.rand(4, 6)
    assert find_inputs((ids, x)) is x
    assert [b.samples.shape[1] for b in input_blocks(ids)] == [len(ids.unique())]
    assert ForwardArgs(["0.1"]).inputs(((ids, x), 3)) is x
