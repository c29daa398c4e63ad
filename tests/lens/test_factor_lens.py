"""One observation of models and data of every kind, without a Trainer."""

import math

import numpy as np
import pytest
import torch
from factorization_checks import needs_cuda
from kinds_of_data import (
    BagNet,
    Detector,
    FullyConvolutional,
    GraphNet,
    bag_batches,
    graph_batches,
    image_lists,
    sized_images,
)
from small_lens import make_net, make_probe
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.capture import DrawnBatch, Probe
from lightning_factorlens.measurements import Consistency, ReconstructionError, WeightSpectra

OPTIONS = LensOptions(ranks=(1, 4))


def row_of(lens, name):
    return next(row for row in lens.layer_table if row.name == name)


def observe(model, drawn, options=OPTIONS, outputs=None):
    probe = Probe.from_batches(drawn, 256, keep_data=False)
    lens = FactorLens(model, options, outputs=outputs)
    return lens, probe, lens.observe(probe)


def test_a_network_of_graphs_is_observed_with_one_row_for_each_graph():
    model = GraphNet()
    lens, probe, observation = observe(model, graph_batches(), outputs="classes")
    assert row_of(lens, "act").reason == "non-negative activation; mean over the rows of each sample"
    assert row_of(lens, "head").reason == "signed"
    W = observation.factorization.W[1]
    assert [len(factor) for factor in W] == [5, 8]
    graphs = probe.whole[1].data
    nodes = torch.relu(model.nodes(graphs.x))
    runner = lens._runner()
    runner.decision = lens.output_decision
    capture = runner.capture(probe, lens.layer_table)[0]
    assert torch.allclose(capture.layers[0].samples[9], nodes[graphs.batch == 1].mean(0), atol=1e-6)
    assert capture.outputs.shape == (32, 2)


def test_bags_of_instances_are_observed_with_one_row_for_each_bag():
    lens, _, observation = observe(BagNet(), bag_batches())
    assert row_of(lens, "act").selected and observation.factorization.F[1].shape == (4, 40)


def test_layers_of_images_of_different_sizes_are_averaged_to_the_smallest():
    model = FullyConvolutional()
    lens, probe, observation = observe(model, sized_images(), outputs="classes")
    row = row_of(lens, "act")
    assert row.shape == (4, 8, 10)
    assert row.reason == "non-negative activation; larger outputs averaged to this shape"
    assert observation.inputs.shape == (36, 3, 8, 10)
    with torch.no_grad():
        whole = torch.relu(model.conv(probe.whole[1].inputs))
        expected = nn.functional.adaptive_avg_pool2d(whole, (8, 10)).flatten(1)
    captured = lens._runner().capture(probe, lens.layer_table)[0].layers[0].samples
    assert torch.allclose(captured[1], expected[0], atol=1e-6)
    assert captured.min() >= 0 and observation.get("consistency") is not None


class Flattening(nn.Module):
    """Its second layer has as many features as the image has pixels, its third runs for large images only."""

    def __init__(self):
        super().__init__()
        self.act, self.flat, self.extra = nn.ReLU(), nn.ReLU(), nn.ReLU()

    def forward(self, x):
        y = self.act(x)
        self.flat(y.flatten(1) + 1)
        return self.extra(y) if x.shape[-1] < 12 else y


def test_layers_that_cannot_be_compared_are_listed_with_the_reason():
    lens, _, _ = observe(Flattening(), sized_images())
    assert row_of(lens, "flat").reason == "its features change with the sample: (240,) and (504,)"
    assert row_of(lens, "extra").reason == "not computed for every sample"
    with pytest.raises(ValueError, match="'flat' matches only outputs that cannot be captured"):
        observe(Flattening(), sized_images(), LensOptions(ranks=(1,), layers="flat"))


@pytest.mark.parametrize("sizes", [(8,), (8, 12)])
def test_a_detector_receives_lists_of_images(sizes):
    lens, _, observation = observe(Detector(), image_lists(sizes))
    assert row_of(lens, "act").selected
    assert row_of(lens, "boxes").reason.startswith("its rows are not samples: 9 for 4 samples")
    assert observation.inputs.shape == (40, 3, 8, 8)


class Recurrent(nn.Module):
    """An LSTM classifier: no layer of it returns a single tensor but the head."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def test_a_model_without_activations_is_observed_at_its_inputs_and_outputs():
    lens = FactorLens(Recurrent(), OPTIONS)
    observation = lens.observe(torch.rand(20, 5, 4))
    assert not any(row.selected for row in lens.layer_table)
    assert "LensOptions(layers=...)" in repr(lens)
    assert observation.factorization.block_names == ("input/0",)
    assert FactorLens(Recurrent(), OPTIONS, [WeightSpectra()]).observe(torch.rand(2, 5, 4))["weight_spectra"]
    with pytest.raises(ValueError, match="layers: 'lstm' matches nothing"):
        FactorLens(Recurrent(), LensOptions(layers="lstm")).observe(torch.rand(40, 5, 4))


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_default_ranks_are_those_up_to_the_number_of_samples(n):
    lens = FactorLens(network())
    for epoch in range(2):
        observation = lens.observe(torch.rand(n, 3, 8, 8), epoch, epoch)
    assert observation.factorization.ranks == tuple(rank for rank in (1, 2, 4, 8, 16) if rank <= n)
    for measurement in lens.measurements:
        for figure in measurement.figures:
            drawn = figure.draw([observation])
            if drawn is not None:
                drawn.canvas.draw()


def test_ranks_that_were_given_are_kept_and_the_error_says_what_helps():
    lens = FactorLens(network(), LensOptions(ranks=(1, 4, 64)))
    with pytest.raises(ValueError, match=r"rank 64 needs at least 64 samples, found 20; .*ranks=\(1, 4\)\)\.$"):
        lens.select_layers(torch.rand(20, 3, 8, 8))
    limited = Probe.from_batches([DrawnBatch(torch.rand(20, 3, 8, 8), 20)], size=20)
    with pytest.raises(ValueError, match="or raise `probe_size`, if there are more than these 20 samples"):
        lens.select_layers(limited)
    exhausted = Probe.from_batches([DrawnBatch(torch.rand(20, 3, 8, 8), 20)], size=256)
    with pytest.raises(ValueError, match=r"ranks=\(1, 4\)\)\.$"):
        lens.select_layers(exhausted)


def test_the_graphs_of_pytorch_geometric_are_observed():
    pytest.importorskip("torch_geometric")
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader

    graphs = []
    for i in range(16):
        edges = torch.randint(0, 4 + i % 3, (2, 6))
        graphs.append(Data(x=torch.randn(4 + i % 3, 5), edge_index=edges, y=torch.tensor([i % 2])))
    drawn = [DrawnBatch(batch, batch.num_graphs) for batch in DataLoader(graphs, 8)]
    first = drawn[0].data
    lens, probe, _ = observe(GraphNet(), drawn)
    assert row_of(lens, "act").selected and len(probe) == 16
    assert "y" not in probe.whole[0].data and "y" in first
    nodes = first.x.clone()
    probe.map_inputs(lambda x: x + 1).part(0)
    assert torch.equal(first.x, nodes)


@needs_cuda
def test_a_probe_in_the_hosts_memory_is_moved_to_the_model():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3), nn.Softmax(1)).cuda()
    observation = FactorLens(model, LensOptions(ranks=(1, 2))).observe(torch.rand(8, 1, 8, 8))
    assert observation["consistency"]["consistency"] > 0


def test_options_can_be_given_by_name():
    assert FactorLens(make_net(), LensOptions(seed=3), ranks=(1, 2)).options == LensOptions(ranks=(1, 2), seed=3)
    with pytest.raises(
        TypeError, match=r"rank: is no argument; did you mean ranks\? The options of a lens are layers, ranks,"
    ):
        FactorLens(make_net(), rank=3)


def test_datasets_loaders_and_arrays_are_observed_as_their_inputs_are():
    images = make_probe(24)
    labelled = TensorDataset(images, torch.arange(24))

    def errors(samples):
        observation = FactorLens(make_net(), ranks=(1, 2), measurements=[ReconstructionError()]).observe(samples)
        return observation["reconstruction_error"]["total"].rel_error

    expected = errors(images)
    for samples in (labelled, DataLoader(labelled, batch_size=7, shuffle=True), images.double().numpy()):
        torch.testing.assert_close(errors(samples), expected, rtol=1e-6, atol=0)
    small = FactorLens(make_net(), ranks=(1, 2), measurements=[ReconstructionError()], probe_size=8)
    assert small.observe(labelled)["reconstruction_error"]["total"].rel_error != expected


def test_a_lens_of_weights_alone_refuses_a_model_without_values():
    model = nn.Sequential(nn.Linear(4, 3, device="meta"))
    with pytest.raises(ValueError, match="2 parameters have no values yet"):
        FactorLens(model, OPTIONS, [WeightSpectra()]).observe(torch.rand(8, 4))


def test_a_loop_says_the_loss_of_each_batch_or_their_mean():
    losses = [1.2, 0.8, 0.4]
    made = {}
    for how in ("each batch", "their mean", "not at all"):
        lens = FactorLens(make_net(), ranks=(1, 2), measurements=[Consistency()], outputs="classes")
        for parameter in lens.model.parameters():
            nn.init.normal_(parameter, std=3.0, generator=torch.Generator().manual_seed(1))
        for loss in losses:
            lens.record_loss(torch.tensor(loss, requires_grad=True) if how == "each batch" else 99.0)
        given = {"training_loss": torch.tensor(0.8)} if how == "their mean" else {}
        if how == "not at all":
            lens.state.training_loss.reset()
        observations = [lens.observe(make_probe(), epoch=epoch, step=epoch, **given) for epoch in (1, 2)]
        made[how] = [observation["consistency"]["memorization_gap"] for observation in observations]
    assert made["each batch"][0] == pytest.approx(made["their mean"][0], rel=1e-6)
    assert math.isnan(made["not at all"][0])
    assert math.isnan(made["each batch"][1]), "every observation begins anew"


def test_epochs_of_a_run_may_repeat_but_not_go_back():
    lens = FactorLens(make_net(), ranks=(1, 2), measurements=[Consistency()], outputs="classes")
    probe = make_probe()
    for epoch, step in [(0, 0), (np.int64(1), torch.tensor(3)), (1, 5)]:
        lens.observe(probe, epoch, step)
    assert [(type(o.epoch), o.epoch, o.step) for o in lens.state.history] == [(int, 0, 0), (int, 1, 3), (int, 1, 5)]
    with pytest.raises(ValueError, match="epoch: found 0 after an observation of epoch 1.*another FactorLens"):
        lens.observe(probe, epoch=0)
    assert len(lens.state.history) == 3
    again = lens.observe(probe)
    assert (again.epoch, again.step) == (1, 5), "a look at the network as it is has the place of the last observation"
    for epoch, step, text in [
        (1.5, 0, "epoch: must be .* found 1.5"),
        (2, -1, "step: must be"),
        ("2", 0, "epoch: .*'2'"),
    ]:
        with pytest.raises(ValueError, match=text):
            lens.observe(probe, epoch, step)
    with pytest.raises(ValueError, match="training_loss: must be one number"):
        lens.observe(probe, epoch=2, step=9, training_loss=torch.rand(4))


def test_an_observation_that_fails_keeps_the_losses_for_the_next_one(monkeypatch):
    lens = FactorLens(make_net(), ranks=(1, 2), measurements=[Consistency()], outputs="classes")
    lens.record_loss(0.7)
    monkeypatch.setattr("lightning_factorlens.lens.observation_methods.MeasurementPass", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lens.observe(make_probe(), epoch=1, step=4)
    assert lens.state.training_loss.count == 1
