"""Measurements of outputs that are NaN have no value and say how many outputs are; probabilities are read once."""

import math

import pytest
import torch
from models import Classifier
from small_lens import SmallNet, make_net, make_probe, train_a_little
from torch import nn
from training import loaders, train

from lightning_factorlens import FactorLens, FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.measurements import (
    Consistency,
    PerturbationConsistency,
    PredictionChange,
    PredictionConfidence,
)
from lightning_factorlens.stopping import Patience, default_rule, replay

ALL = [Consistency(), PerturbationConsistency(), PredictionChange(), PredictionConfidence()]
MARK = 2.0


class Overflows(nn.Module):
    """Its answer for marked images is NaN, as that of a half-precision head is, but not for their shifted copies."""

    def __init__(self, value=math.nan, net=None):
        super().__init__()
        self.net, self.value = net or make_net(), value

    def forward(self, x):
        z = self.net(x).clone()
        z[x[:, 0, 0, 0] == MARK] = self.value
        return z


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_answer_without_a_prediction_leaves_no_value(value):
    lens = FactorLens(Overflows(value), LensOptions(ranks=(1, 2)), list(ALL), outputs="classes")
    probe = make_probe(64)
    lens.observe(probe, 1, 1)
    train_a_little(lens.model.net, 0)
    good = lens.observe(probe, 2, 2, training_loss=1.0)
    waiting = ("loss_signal", "accuracy_signal")  # this network does not tell its inputs apart yet
    assert all(math.isfinite(v.value) for v in good.values() if v.quantity not in waiting)
    bad = probe.clone()
    bad[3, 0, 0, 0] = MARK
    found = lens.observe(bad, 3, 3, training_loss=1.0)
    for number in found.values():
        assert number.quantity == "seconds" or math.isnan(number.value), number
    for name in ("consistency", "prediction confidence", "prediction change"):
        assert any(note.startswith(f"no {name}: 1 of 64 outputs are NaN") for note in found.notes), name
    assert any(note.startswith("no perturbation consistency: ") for note in found.notes)


@pytest.mark.parametrize("last", [nn.Softmax(1), None], ids=["softmax", "by hand"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_series_and_the_stop_of_probabilities_do_not_depend_on_the_dtype(dtype, last):
    """A network whose answers get worse after some observations; its softmax is computed in half precision."""

    class Probabilities(nn.Module):
        def __init__(self, half):
            super().__init__()
            self.net, self.half = make_net(), half

        def forward(self, x):
            z = self.net(x)
            if self.half:
                z = z.to(dtype)
            return z.softmax(1) if last is None and not self.half else self.end(z)

        def end(self, z):
            if last is not None:
                return last(z)
            e = (z - z.amax(1, keepdim=True)).exp()
            return e / e.sum(1, keepdim=True)

    series = []
    for half in (False, True):
        lens = FactorLens(Probabilities(half), LensOptions(ranks=(1,)), list(ALL), outputs="classes")
        values = []
        for epoch in range(1, 22):
            train_a_little(lens.model.net, epoch)
            observation = lens.observe(make_probe(64), epoch, epoch)
            ignored = ("seconds", "prediction_changes")  # rounding makes ties, whose class is the first one
            values.append({v.quantity: v.value for v in observation.values() if v.quantity not in ignored})
        assert lens.output_decision.is_probability
        series.append(values)
    for exact, rounded in zip(*series):
        assert rounded == pytest.approx(exact, rel=0.05, abs=0.05, nan_ok=True)
    columns = [[values["consistency"] for values in of_dtype] for of_dtype in series]
    for rule in (Patience(3), default_rule()):
        decisions = [replay(rule, column) for column in columns]
        stops = [
            [d.stop for d in of_dtype].index(True) if any(d.stop for d in of_dtype) else None for of_dtype in decisions
        ]
        assert stops[0] == stops[1]


class Diverges(Classifier):
    """Gives no prediction for one image of the probe in some epochs."""

    def __init__(self, broken=(2, 3)):
        super().__init__()
        self.net, self.broken = SmallNet(), broken
        self.net.hidden = nn.Linear(6 * 64, 64)

    def forward(self, x):
        z = self.net(x)
        if not self.training and self.trainer.current_epoch + 1 in self.broken and self.trainer.global_step:
            z = z.clone()
            z[0] = math.nan
        return z


def test_no_callback_takes_a_nan_as_the_best_value(tmp_path):
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    tag = "factorlens/consistency"
    callback = FactorLensCallback(measurements=[Consistency()], probe_size=16, on_error="raise", verbose=False)
    stop = EarlyStopping(tag, patience=9, check_on_train_epoch_end=True)
    keep = ModelCheckpoint(tmp_path, monitor=tag, save_on_train_epoch_end=True, save_top_k=1)
    label_free = LabelFreeStopping(monitor=tag, rule=Patience(9), verbose=False)
    trainer, _ = train(
        tmp_path, callback, stop, keep, label_free, module=Diverges(), epochs=5, data=loaders(),
        enable_checkpointing=True,
    )  # fmt: skip
    assert trainer.current_epoch == 5
    values = [observation.value("consistency") for observation in callback.history]
    assert [math.isnan(value) for value in values] == [False, False, True, True, False, False]
    assert "no consistency: 1 of 16 outputs are NaN" in " ".join(callback.history[2].notes)
    finite = [value for value in values[1:] if math.isfinite(value)]
    assert float(keep.best_model_score) == pytest.approx(min(finite), rel=1e-6)
    assert float(stop.best_score) == pytest.approx(min(finite), rel=1e-6)
    assert stop.check_finite
    assert label_free.decision.best_epoch == 1 + values[1:].index(min(finite))


def test_a_probe_without_a_prediction_before_training_is_no_configuration_error(tmp_path):
    from lightning.pytorch.callbacks import EarlyStopping

    class Starts(Diverges):
        def forward(self, x):
            z = self.net(x)
            return z * math.nan if not self.training and self.trainer.global_step == 0 else z

    callback = FactorLensCallback(measurements=[Consistency()], probe_size=16, on_error="raise", verbose=False)
    stop = EarlyStopping("factorlens/consistency", patience=9, check_on_train_epoch_end=True)
    label_free = LabelFreeStopping(verbose=False)
    train(tmp_path, callback, stop, label_free, module=Starts(), epochs=2, data=loaders())
    assert math.isfinite(float(stop.best_score))
