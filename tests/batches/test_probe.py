"""The probe as batches: joined and cut where samples are alike, sent as collated where they are not."""

import pytest
import torch
from kinds_of_data import bag_batches, copied, graph_batches, image_lists, sized_images

from lightning_factorlens.batches.probe import MAX_DEVICE_BYTES
from lightning_factorlens.capture import Batch, DrawnBatch, Probe


def labelled(n_batches=3, batch_size=8):
    drawn = []
    for i in range(n_batches):
        image = torch.rand(batch_size, 1, 4, 4, generator=torch.Generator().manual_seed(i))
        names = [f"{i}.{j}" for j in range(batch_size)]
        drawn.append(DrawnBatch({"image": image, "label": torch.full((batch_size,), i), "name": names}, batch_size))
    return drawn


def test_batches_of_equal_samples_are_one_batch_that_is_cut_into_passes_of_the_loaders_size():
    drawn = labelled()
    expected = torch.cat([batch.data["image"] for batch in drawn])
    probe = Probe.from_batches(drawn, size=256)
    assert drawn == []
    assert len(probe.whole) == 1 and torch.equal(probe.inputs, expected)
    assert probe.inputs is probe.data["image"]
    assert probe.data["name"][:2] == ["0.0", "0.1"] and len(probe.data["name"]) == 24
    assert probe.data["label"].tolist() == [0] * 8 + [1] * 8 + [2] * 8
    assert [len(part) for part in probe.batches()] == [8, 8, 8]
    assert [len(part) for part in probe.batches(5)] == [5, 5, 5, 5, 4]
    assert [len(part) for part in Probe.from_batches(labelled(), size=20).batches()] == [8, 8, 4]


def test_without_the_data_no_label_is_kept():
    probe = Probe.from_batches(labelled(), 256, keep_data=False)
    assert probe.data is probe.inputs
    graphs = graph_batches()
    probe = Probe.from_batches(copied(graphs), 256, keep_data=False)
    assert not any(hasattr(data, "y") for data in probe.data)
    assert hasattr(graphs[0].data, "y")
    assert isinstance(Probe.from_batches(image_lists(), 256, keep_data=False).data, list)


def test_a_collate_function_that_drops_samples_leaves_those_that_it_returns():
    drawn = [DrawnBatch((torch.rand(n, 3), torch.zeros(n)), 8) for n in (8, 6, 7)]
    assert len(Probe.from_batches(drawn, 256)) == 21


def test_finished_batches_tell_their_number_of_samples():
    for n_samples in (None, 1):  # also those that a collate function takes out of a batch of one
        drawn = [DrawnBatch((torch.rand(n, 3), torch.zeros(n)), n_samples) for n in (16, 16, 5)]
        probe = Probe.from_batches(drawn, 32)
        assert len(probe) == 32 and [len(part) for part in probe.batches()] == [16, 16]


def test_images_of_different_sizes_pass_as_collated_and_are_averaged_for_the_inputs():
    drawn = sized_images()
    originals = [batch.data[0] for batch in drawn]
    probe = Probe.from_batches(drawn, 256)
    assert not probe.has_equal_sizes and len(probe) == 36
    for part, original in zip(probe.batches(), originals):
        assert torch.equal(part.inputs, original)
    assert probe.inputs.shape == (36, 3, 8, 10)
    assert torch.equal(probe.inputs[0], originals[0][0])
    pooled = torch.nn.functional.adaptive_avg_pool2d(originals[1], (8, 10))
    assert torch.allclose(probe.inputs[1], pooled[0], atol=1e-6)
    assert probe.inputs.min() >= 0


def test_the_size_is_kept_up_to_the_last_batch_that_cannot_be_cut():
    assert len(Probe.from_batches(graph_batches(4, 8), 20)) == 24
    assert len(Probe.from_batches(sized_images(batch_size=6), 20)) == 20


def test_graphs_have_one_row_for_each_graph():
    drawn = graph_batches()
    first = drawn[0].data
    probe = Probe.from_batches(drawn, 256, keep_data=False)
    assert len(probe) == 32 and probe.inputs.shape == (32, 5)
    assert torch.allclose(probe.inputs[3], first.x[first.batch == 3].mean(0))
    moved = probe.to(torch.device("meta"))
    assert moved.data[0].x.device.type == "meta" and first.x.device.type == "cpu"


def test_a_single_graph_has_its_nodes_as_samples():
    batch = graph_batches(1)[0].data
    batch.batch = None
    probe = Probe.from_batches([DrawnBatch(batch, 1)], 256)
    assert len(probe) == len(batch.x)
    assert torch.equal(probe.inputs, batch.x)


def test_bags_of_different_numbers_of_instances_are_averaged():
    drawn = bag_batches()
    bag = drawn[2].data[0]
    probe = Probe.from_batches(drawn, 256)
    assert probe.inputs.shape == (40, 6)
    assert torch.allclose(probe.inputs[2], bag.mean(0))
    (same,) = {len(part.inputs) for part in Probe.from_batches([DrawnBatch((bag, torch.tensor(0)), 1)], 9).batches()}
    assert same == len(bag)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_image_without_a_batch_axis_is_one_sample(channels):
    images = torch.rand(5, channels, 6, 6)
    drawn = [DrawnBatch((image, torch.tensor(1)), 1) for image in images]
    probe = Probe.from_batches(drawn, 256)
    assert torch.equal(probe.inputs, images)
    (first, *_) = probe.batches()
    assert first.is_single and first.inputs.shape == (channels, 6, 6)


@pytest.mark.parametrize("keep_data", [True, False])
def test_lists_of_images_have_one_sample_for_each_image(keep_data):
    probe = Probe.from_batches(image_lists(), 256, keep_data=keep_data)
    assert len(probe) == 40 and probe.inputs.shape == (40, 3, 8, 8)
    assert [len(part) for part in probe.batches()] == [4] * 10
    assert Probe.wrap([torch.rand(3, 8, 8), torch.rand(3, 9, 9)]).inputs.shape == (2, 3, 8, 8)


def test_token_ids_of_different_lengths_are_cut_to_the_shortest():
    drawn = [DrawnBatch(torch.full((4, length), length), 4) for length in (7, 5)]
    assert Probe.from_batches(drawn, 256).inputs.tolist() == [[7] * 5] * 4 + [[5] * 5] * 4


def shift_odd_samples(inputs):
    changed = inputs.clone()
    changed[1::2] += 1
    return changed


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_inputs_are_changed_pass_by_pass_as_they_are_together(batch_size):
    images = torch.rand(11, 1, 4, 4)
    drawn = [DrawnBatch((part, torch.zeros(len(part))), len(part)) for part in images.split(batch_size)]
    changed = Probe.from_batches(drawn, 256).map_inputs(shift_odd_samples)
    assert next(len(part) for part in changed.batches()) == batch_size
    assert torch.equal(torch.cat([part.data[0] for part in changed.batches()]), shift_odd_samples(images))
    assert torch.equal(changed.inputs, shift_odd_samples(images))
    assert torch.equal(changed[batch_size:].inputs, shift_odd_samples(images)[batch_size:])


def test_inputs_of_every_kind_can_be_changed_unless_they_are_computed_from_the_batch():
    for drawn in (graph_batches(), bag_batches(), sized_images(), image_lists()):
        probe = Probe.from_batches(drawn, 256, keep_data=False)
        changed = probe.map_inputs(lambda inputs: inputs + 1)
        assert torch.allclose(changed.inputs, probe.inputs + 1, atol=1e-5)
    derived = Probe.wrap({"image": torch.rand(4, 3)}, lambda batch: batch["image"] * 2)
    assert derived.map_inputs(lambda inputs: inputs) is None


def test_some_samples_are_cut_at_batches_that_stay_whole():
    probe = Probe.from_batches(graph_batches(4, 8), 256)
    assert probe.unit_ends() == [8, 16, 24, 32]
    assert len(probe[8:24]) == 16 and torch.equal(probe[8:24].inputs, probe.inputs[8:24])
    assert len(probe[:1]) == 8
    assert Probe.from_batches(labelled(), 256).unit_ends() == [8, 16, 24]
    assert Probe.wrap(torch.rand(300, 2)).unit_ends() == [128, 256, 300]


def test_batches_that_can_be_cut_are_divided_below_a_pass_for_many_processes():
    probe = Probe.wrap(torch.rand(300, 2))
    assert probe.unit_ends(3) == probe.unit_ends()
    assert probe.unit_ends(8) == [38, 76, 114, 152, 190, 228, 266, 300]
    assert probe.unit_ends(1000) == list(range(1, 301))
    assert Probe.from_batches(graph_batches(4, 8), 256).unit_ends(100) == [8, 16, 24, 32]


def test_a_large_probe_stays_in_host_memory_and_its_passes_are_moved():
    device = torch.device("meta")
    large = torch.empty(1, dtype=torch.uint8).expand(2, MAX_DEVICE_BYTES)
    probe = Probe.wrap(large).to(device)
    assert probe.inputs.device.type == "cpu" and probe.device == device
    assert [part.inputs.device.type for part in probe.batches()] == ["meta"]
    assert probe.to(device) is probe
    small = Probe.wrap(torch.rand(2, 3)).to(device)
    assert small.inputs.device.type == "meta" and small.to(device) is small


def test_no_batches_and_inputs_without_rows_of_samples_are_errors():
    with pytest.raises(ValueError, match="found no batches"):
        Probe.from_batches([], 4)
    batch = Batch(torch.rand(3, 2), torch.rand(3, 2), n_samples=2)
    with pytest.raises(ValueError, match=r"inputs of shape \(3, 2\) for 2 samples"):
        Probe.wrap(batch).inputs  # noqa: B018
    drawn = [DrawnBatch(torch.rand(2, width), 2) for width in (3, 4)]
    with pytest.raises(ValueError, match="cannot be compared"):
        Probe.from_batches(drawn, 4).inputs  # noqa: B018
