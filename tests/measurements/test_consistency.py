"""The scalar `factorlens/consistency`, the public function and the torchmetrics class are one number."""

import copy
import math

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from models import Classifier
from small_lens import SmallNet, lens_with, make_probe, train_a_little
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.metrics import torchmetrics
from lightning_factorlens.metrics.consistency import alternating_shift, consistency
from lightning_factorlens.metrics.stop_signal import accuracy_signal, loss_signal, memorization_gap
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

TAG = "factorlens/consistency"
EPOCHS = 5


class Net(Classifier):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(SmallNet(), nn.Dropout(0.0))

    def forward(self, x):
        return self.net(x)


class Copies(Callback):
    """The network at every observation, the monitored values, and the losses of every epoch's steps."""

    def __init__(self):
        self.nets = []
        self.monitored = []
        self.signals = []
        self.losses = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.losses.append([])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses[-1].append(float(outputs["loss"]))

    def on_train_start(self, trainer, pl_module):
        self.nets.append(copy.deepcopy(pl_module).eval())

    def on_train_epoch_end(self, trainer, pl_module):
        self.nets.append(copy.deepcopy(pl_module).eval())
        self.monitored.append(float(trainer.callback_metrics[TAG]))
        self.signals.append(float(trainer.callback_metrics["factorlens/loss_signal"]))


def fit(folder, epochs, checkpoint=None, measurements=None):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(48, 1, 8, 8, generator=g), torch.randint(0, 3, (48,), generator=g))
    callback = FactorLensCallback(
        max_overhead=None,
        probe=torch.rand(20, 1, 8, 8, generator=g),
        probe_size=20,
        measurements=measurements or [Consistency()],
        on_error="raise",
        verbose=False,
    )
    copies = Copies()
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=CSVLogger(folder, name="", version=""),
        callbacks=[callback, copies, ModelCheckpoint(folder / "saved", save_last=True, save_top_k=0)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(), DataLoader(data, 8), ckpt_path=checkpoint)
    return callback, copies


def slow_consistency(net, probe, average):
    """One sample after the other in float64; returns c and the new average."""
    net = copy.deepcopy(net).double()
    p, q = [], []
    with torch.no_grad():
        for i, image in enumerate(probe.double()):
            pixels = 1 if i % 2 == 0 else -1
            shifted = image.roll((pixels, pixels), (-2, -1))
            p.append(net(image[None]).softmax(1)[0])
            q.append(net(shifted[None]).softmax(1)[0])
    average = p if average is None else [0.8 * old + 0.2 * new for old, new in zip(average, p)]
    cross_entropy = -sum(math.log(q_i[int(a_i.argmax())]) for q_i, a_i in zip(q, average)) / len(p)
    mean = sum(p) / len(p)
    kl = sum(float(m) * math.log(float(m) * len(mean)) for m in mean)
    return cross_entropy + kl, average


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("run"), EPOCHS)


def test_tag_function_class_and_formula_give_one_number(run):
    callback, copies = run
    probe = callback.probe_batch.inputs
    average = None
    ensemble = TemporalEnsemble()
    for epoch, net in enumerate(copies.nets):
        tagged = callback.history[epoch].value("consistency")
        with torch.no_grad():
            outputs, shifted = net(probe), net(alternating_shift(probe, 1))
        if epoch == 0:  # the untrained network's predictions do not enter the ensemble
            labels = outputs.argmax(1)
            slow, _ = slow_consistency(net, probe, None)
        else:
            labels = ensemble.update(outputs)
            slow, average = slow_consistency(net, probe, average)
        metric = torchmetrics.Consistency()
        for batch in torch.arange(len(probe)).split(6):
            metric.update(outputs[batch], shifted[batch], labels[batch])
        assert consistency(outputs, shifted, labels) == pytest.approx(tagged, rel=1e-6)
        assert float(metric.compute()) == pytest.approx(tagged, rel=1e-6)
        assert slow == pytest.approx(tagged, rel=1e-5)
        if epoch > 0:
            assert copies.monitored[epoch - 1] == pytest.approx(tagged, rel=1e-6)


def test_the_signal_reads_the_mean_training_loss_of_the_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_factorlens.measurements.consistency.LEAST_DISTINCTION", 0.0)
    callback, copies = fit(tmp_path, 3)
    probe = callback.probe_batch.inputs
    ensemble = TemporalEnsemble()
    for epoch, net in enumerate(copies.nets[1:]):
        with torch.no_grad():
            outputs, shifted = net(probe), net(alternating_shift(probe, 1))
        labels = ensemble.update(outputs)
        training_loss = sum(copies.losses[epoch]) / len(copies.losses[epoch])
        expected = loss_signal(outputs, shifted, labels, training_loss)
        assert copies.signals[epoch] == pytest.approx(expected, rel=1e-5)
        observation = callback.history[epoch + 1]
        gap = memorization_gap(outputs, training_loss)
        assert observation.value("memorization_gap") == pytest.approx(gap, abs=1e-6)
        assert math.isfinite(copies.signals[epoch])  # and with it that of the accuracy, the default
        accuracy = observation.value("accuracy_signal")
        assert accuracy == pytest.approx(accuracy_signal(expected, outputs, labels), rel=1e-5)


def test_the_signals_wait_until_the_inputs_are_told_apart():
    lens = lens_with(Consistency())
    for parameter in lens.model.parameters():
        nn.init.zeros_(parameter)
    first = lens.observe(make_probe(), epoch=1, step=4, training_loss=1.0)
    assert math.isnan(first["consistency"]["loss_signal"]) and math.isnan(first["consistency"]["accuracy_signal"])
    for parameter in lens.model.parameters():
        nn.init.normal_(parameter, std=3.0, generator=torch.Generator().manual_seed(1))
    second = lens.observe(make_probe(), epoch=2, step=8, training_loss=0.0)
    assert math.isfinite(second["consistency"]["loss_signal"])
    assert math.isfinite(second["consistency"]["accuracy_signal"])
    for parameter in lens.model.parameters():
        nn.init.zeros_(parameter)
    third = lens.observe(make_probe(), epoch=3, step=12, training_loss=9.0)
    assert math.isfinite(third["consistency"]["loss_signal"])  # what has begun goes on
    assert third["consistency"]["memorization_gap"] == 0.0


def test_without_a_finite_training_loss_there_is_no_signal_and_a_note_says_why():
    lens = lens_with(Consistency())
    for parameter in lens.model.parameters():
        nn.init.normal_(parameter, std=3.0, generator=torch.Generator().manual_seed(1))
    for loss in (1.0, math.nan, 3.0):
        lens.record_loss(torch.tensor(loss))
    with pytest.warns(UserWarning, match="1 of 3 training losses"):
        first = lens.observe(make_probe(), epoch=1, step=4)
    assert math.isfinite(first["consistency"]["loss_signal"])
    lens.record_loss(torch.tensor(math.nan))
    second = lens.observe(make_probe(), epoch=2, step=8)
    assert math.isnan(second["consistency"]["loss_signal"])
    assert math.isnan(second["consistency"]["accuracy_signal"])
    assert math.isnan(second["consistency"]["memorization_gap"])
    assert "no loss signal: the training loss is NaN or infinite." in second.notes
    assert math.isfinite(second["consistency"]["consistency"])


def test_the_ensemble_matters(run):
    """Else the test above would not notice an ensemble that is not used."""
    callback, copies = run
    probe = callback.probe_batch.inputs
    with torch.no_grad():
        without = [consistency(net(probe), net(alternating_shift(probe, 1))) for net in copies.nets]
    found = [observation.value("consistency") for observation in callback.history]
    assert found[:2] == pytest.approx(without[:2], rel=1e-6)
    lens = lens_with(Consistency())
    lens.observe(make_probe(), epoch=1)
    assert set(lens.state.warm_start.states["consistency"]) == {"average", "has_begun"}


@pytest.mark.parametrize(("scale", "says_so"), [(0.0, True), (1e3, False)])
def test_a_network_that_does_not_tell_inputs_apart_has_a_note_in_place_of_a_signal(scale, says_so):
    lens = lens_with(Consistency())
    last = [layer for layer in lens.model.modules() if isinstance(layer, nn.Linear)][-1]
    last.weight.data *= scale
    last.bias.data.zero_()
    observation = lens.observe(make_probe(), epoch=1)
    assert math.isnan(observation["consistency"]["loss_signal"]) == says_so
    assert any(note.startswith("no loss signal: the network does not tell") for note in observation.notes) == says_so


def test_a_resumed_run_continues_the_ensemble(run, tmp_path):
    fit(tmp_path, 2)
    resumed, _ = fit(tmp_path, EPOCHS, tmp_path / "saved/last.ckpt")
    for quantity in ("consistency", "memorization_gap"):
        expected = [observation.value(quantity) for observation in run[0].history]
        assert [observation.value(quantity) for observation in resumed.history] == expected


def test_predictions_before_training_do_not_enter_the_ensemble():
    lens, fresh = lens_with(Consistency()), lens_with(Consistency())
    lens.observe(make_probe(), epoch=0, step=0)
    assert lens.state.warm_start.states == {}
    for one in (lens, fresh):
        train_a_little(one.model, 1)
    values = [one.observe(make_probe(), epoch=1, step=4).value("consistency") for one in (lens, fresh)]
    assert values[0] == values[1]


def test_the_shift_is_the_given_number_of_pixels():
    lens, probe = lens_with(Consistency(shift=3)), make_probe()
    with torch.no_grad():
        expected = consistency(lens.model(probe), lens.model(alternating_shift(probe, 3)))
    assert lens.observe(probe).value("consistency") == pytest.approx(expected, rel=1e-6)


def test_without_a_shift_there_is_no_record_and_a_note():
    observation = lens_with(Consistency(shift=0)).observe(make_probe())
    assert "consistency" not in observation
    line = "outputs: (N, 3), read as class scores: outputs= says so"
    assert observation.notes == ("no consistency: shift=0 switches it off", line)


def test_outputs_without_classes_are_noted():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())  # outputs (N, 3, 6, 6)
    lens = lens_with(Consistency(), net=net, outputs=None)
    observation = lens.observe(make_probe())
    assert "consistency" not in observation
    (note,) = observation.notes
    assert note.startswith("no consistency: nothing says whether (N, 3, 6, 6) are class scores. Signals that need no")
    assert note.endswith(lens.output_decision.alternatives)
    assert "outputs='classes'" not in note  # it could not be true


@pytest.mark.parametrize("shift", [-1, 1.5, "1", True])
def test_a_wrong_shift_is_named(shift):
    with pytest.raises(ValueError, match=r"shift: must be .*found"):
        Consistency(shift=shift)


def test_a_negative_training_loss_is_no_cross_entropy_and_counts_as_unknown():
    observations = []
    for losses in ([], [torch.tensor(-3.0), torch.tensor(1.0)]):
        lens = lens_with(Consistency())
        for parameter in lens.model.parameters():
            nn.init.normal_(parameter, std=3.0, generator=torch.Generator().manual_seed(1))
        for loss in losses:
            lens.record_loss(loss)
        observations.append(lens.observe(make_probe(), epoch=1, step=1))
    unknown, negative = observations
    assert math.isnan(negative["consistency"]["memorization_gap"])
    assert negative["consistency"]["loss_signal"] == unknown["consistency"]["loss_signal"]
    assert "no memorization gap: the training loss, -1, is no cross-entropy." in negative.notes
