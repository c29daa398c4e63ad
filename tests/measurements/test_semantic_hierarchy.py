"""Hierarchies in a run: the numbers are those of the offline calls, with a cadence, a figure, and several processes."""

import pytest
import torch
from small_lens import lens_with, make_net, make_probe, train_a_little
from torch import nn
from training import lens, train
from worker_processes import run_in_processes

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.batches.batch import fingerprint
from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.hierarchy import class_share
from lightning_factorlens.measurements import SemanticHierarchy
from lightning_factorlens.results.serialization import from_json, to_json
from lightning_factorlens.run_state import RunState

NAME = "semantic_hierarchy"


def uneven_net(seed=0):
    """A small network that predicts all of its three classes on the probe."""
    net = make_net(seed)
    with torch.no_grad():
        scores = net(make_probe(60))
        net.head.bias -= scores.mean(0)
    return net


def test_the_numbers_in_a_run_are_those_of_the_offline_calls_at_the_checkpoint():
    small = lens_with(SemanticHierarchy(q=0.8, p=0.5), net=uneven_net())
    probe = make_probe(60)
    for epoch in range(2):
        record = small.observe(probe, epoch=epoch, step=epoch)[NAME]
        checkpoint = make_net()
        checkpoint.load_state_dict(small.model.state_dict())
        offline = FactorLens(checkpoint, outputs="classes")
        predictions = checkpoint(probe).argmax(1)
        signals = offline.signals(probe)
        assert [found.layer for found in record.layers] == list(signals) == ["conv", "hidden", "head"]
        assert record.predicted_classes == len(predictions.unique()) > 1
        for found in record.layers:
            sizes = offline.hierarchy(probe, found.layer, q=0.8, p=0.5).sizes
            measured = (found.significant_nodes, found.vector_classes, found.hierarchy_depth)
            assert measured == (sizes.nodes, sizes.vector_classes, sizes.depth)
            share = class_share(signals[found.layer], predictions)
            assert found.class_share == share.share
            assert 0 < found.null_class_share < 0.3
        train_a_little(small.model, epoch)


def test_hierarchies_are_measured_at_every_nth_observation_also_after_a_resume(tmp_path):
    small = lens_with(SemanticHierarchy(every=3, layers=("head",)))
    observations = [small.observe(make_probe(40), epoch=epoch, step=epoch) for epoch in range(5)]
    assert [NAME in observation for observation in observations] == [True, False, False, True, False]
    torch.save(small.state.state_dict(), tmp_path / "state.pt")
    resumed = lens_with(SemanticHierarchy(every=3, layers=("head",)), net=small.model)
    resumed.state = RunState(OverheadBudget()).from_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    found = [NAME in resumed.observe(make_probe(40), epoch, epoch) for epoch in (5, 6)]
    assert found == [False, True]
    line = to_json(observations[3])
    assert from_json(line)[NAME] == observations[3][NAME]
    figure = SemanticHierarchy.figures[0].draw(observations)
    assert [len(axes.get_lines()) for axes in figure.axes] == [3, 3]  # the layer, its null, and the null's legend


def test_other_samples_leave_the_cadence_as_it_is_also_after_a_resume():
    small = lens_with(SemanticHierarchy(every=2, layers=("head",)))
    made = []
    for epoch in range(5):
        probe = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(epoch))
        small.state.update_probe(fingerprint(probe))
        small.reset()  # as the callback does with resample_probe
        made.append(NAME in small.observe(probe, epoch=epoch, step=epoch))
        resumed = lens_with(SemanticHierarchy(every=2, layers=("head",)), net=small.model)
        resumed.state = RunState(OverheadBudget()).from_state_dict(small.state.state_dict())
        small = resumed
    assert made == [True, False, True, False, True]


def test_what_cannot_be_measured_is_noted():
    net = make_net()
    with torch.no_grad():
        net.hidden.bias[0] = torch.nan
    observation = lens_with(SemanticHierarchy(), net=net).observe(make_probe(40))
    assert NAME not in observation
    assert observation.notes[0] == "no semantic hierarchy: no sample has finite class scores."
    plain = lens_with(SemanticHierarchy(), outputs="embedding").observe(make_probe(40))
    assert NAME not in plain
    assert "class scores" in plain.notes[0]
    for wrong in ({"q": 0}, {"p": 1.5}, {"every": 0}, {"layers": ()}, {"layers": "head"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SemanticHierarchy(**wrong)


def test_a_layer_that_the_model_lacks_ends_the_run_before_training(tmp_path):
    callback = lens(measurements=[SemanticHierarchy(layers=("wrong",))])
    with pytest.raises(ValueError, match=r"^layers: found 'wrong'; the linear layers of this model are '"):
        train(tmp_path, callback)
    assert not callback.history


def observe_in_a_group(group):
    """One observation, and the signals of the same probe, by processes of which each passes some samples."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 26 * 26, 5)).eval()
    observer = FactorLens(model, LensOptions(), [SemanticHierarchy()], process_group=group, outputs="classes")
    images = torch.rand(150, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    with group.synchronized_errors():
        observation = observer.observe(images)
    with group.synchronized_errors():
        signals = observer.signals(images, "3")
    return observation[NAME], signals["3"].values


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    record, values = observe_in_a_group(SingleProcess())
    for found, found_values in run_in_processes(observe_in_a_group, 2, tmp_path):
        assert found == record
        assert torch.equal(found_values, values)
