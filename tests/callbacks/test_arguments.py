"""Wrong arguments, and models and data that the callback cannot work with."""

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from training import Net, lens, loaders, train

from lightning_factorlens import FactorLens, FactorLensCallback, ForwardArgs, JSONLinesSink, LensOptions
from lightning_factorlens.capture.signs import Denormalize
from lightning_factorlens.factorization import HALS, L1, MultiplicativeUpdates
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.stopping import OnMetric, Patience, Smoothed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": []}, "ranks: .*whole numbers ≥ 1, found"),
        ({"ranks": (0, 3)}, "ranks: .*found"),
        ({"weighting": "loud"}, "weighting: found 'loud', allowed are 'unit', 'raw'"),
        ({"input_sign_policy": "drop"}, "input_sign_policy: found 'drop', allowed are"),
        ({"activation_sign_policy": 3}, "activation_sign_policy: found 3"),
        ({"probe_size": 0}, "probe_size: must be a whole number ≥ 1, found 0"),
        ({"every_n_epochs": 0}, "every_n_epochs: "),
        ({"every_n_train_steps": -1}, "every_n_train_steps: "),
        ({"ranks": 5.0}, "ranks: .*found 5.0"),
        ({"ranks": "8"}, "ranks: "),
        ({"ranks": (1, "a")}, "ranks: "),
        ({"max_neurons_per_layer": 0}, "max_neurons_per_layer: "),
        ({"max_neurons_per_layer": 2.5}, "max_neurons_per_layer: "),
        ({"error_thresholds": (1.5,)}, "thresholds: must be a list of relative errors between 0 and 1, found"),
        ({"error_thresholds": 0.3}, "thresholds: .*found 0.3"),
        ({"consistency_shift": -1}, "shift: "),
        ({"consistency_shift": 1.5}, "shift: "),
        ({"seed": "x"}, "seed: "),
        ({"layers": 3}, "layers: "),
        ({"resample_probe": "no"}, "resample_probe: "),
        ({"measurements": []}, "measurements: must be a non-empty list of Measurement objects, found"),
        ({"activation_sign_policy": Denormalize([0.5], [0.5])}, "activation_sign_policy: Denormalize"),
        ({"layout": "yes"}, "layout: "),
        ({"figures_every_n": -1}, "figures_every_n: "),
        ({"verbose": 1}, "verbose: "),
        ({"sinks": [3]}, r"sinks: each needs write\(observation\) and close\(\), found 3"),
        ({"sinks": [JSONLinesSink]}, "sinks: each needs"),
        ({"sinks": "x.jsonl"}, r"sinks: must be a list of sinks, found 'x.jsonl'; write e.g. sinks="),
        ({"sinks": None}, "sinks: must be a list of sinks, found None"),
        ({"layers": "re:("}, r"layers: 're:\(' is not a regular expression"),
        ({"error_thresholds": ()}, "thresholds: "),
        ({"error_thresholds": (0.3, 0.3)}, "thresholds: .*list every threshold once"),
        ({"prefix": 3}, "prefix: .*found 3"),
        ({"on_error": "ignore"}, "on_error: found 'ignore', allowed are 'warn', 'raise'"),
        ({"prefix": "a b"}, "prefix"),
    ],
    ids=lambda x: str(x),
)
def test_wrong_arguments_fail_at_once_and_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_callback(**options)


def test_a_wrong_solver_is_named():
    with pytest.raises(ValueError, match="solver: found 'als', allowed are 'hals', 'mu'"):
        make_callback(solver="als")
    with pytest.raises(TypeError, match="solver: "):
        make_callback(solver=HALS)


def test_observations_are_due_after_epochs_or_after_steps_but_not_after_both():
    with pytest.raises(
        ValueError, match="every_n_train_steps: found 100 together with every_n_epochs=2; .*one of the two"
    ):
        FactorLensCallback(every_n_epochs=2, every_n_train_steps=100)
    assert repr(FactorLensCallback(every_n_train_steps=5)).startswith(
        "FactorLensCallback(every_n_train_steps=5, probe_size="
    )


def test_what_cannot_work_fails_before_training_starts(tmp_path):
    with pytest.raises(ValueError, match="layers: 'features.*' matches nothing; there are: .*relu-2"):
        train(tmp_path, lens(layers="features.*"))
    with pytest.raises(ValueError, match="ranks: rank 99 needs at least 99 samples, found 32"):
        train(tmp_path, lens(ranks=(1, 99)))
    with pytest.raises(MisconfigurationException, match="no validation dataloader.*pass `probe=`"):
        train(tmp_path, lens(), data=(loaders()[0],))

    class Headless(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def training_step(self, batch, batch_idx):
            return self.net(batch[0]).square().mean()

        def validation_step(self, batch, batch_idx):
            pass

        configure_optimizers = Net.configure_optimizers
        schedule = None

    with pytest.raises(MisconfigurationException, match=r"Define `forward\(self, x\)`"):
        train(tmp_path, lens(), module=Headless())


def test_models_without_values_are_refused(tmp_path):
    class Lazy(Net):
        def __init__(self):
            super().__init__()
            self.head = nn.LazyLinear(3)

    with pytest.raises(ValueError, match=r"model: .*no values yet.*head\.weight"):
        train(tmp_path, lens(), module=Lazy(), num_sanity_val_steps=0)


def test_another_import_tree_is_explained():
    class Foreign:
        pass

    Foreign.__module__ = "pytorch_lightning.trainer.trainer"
    with pytest.raises(MisconfigurationException, match="two import trees"):
        lens().setup(Foreign(), None, "fit")


def test_a_measurement_that_is_none_is_named():
    with pytest.raises(TypeError, match=r"measurements: found 'consistency'; give objects of classes derived from"):
        FactorLensCallback(measurements=["consistency"])
    with pytest.raises(ValueError, match="measurements: 'consistency' is listed 2 times"):
        FactorLensCallback(measurements=[Consistency(), Consistency(shift=2)])


def test_option_objects_of_another_type_are_named():
    with pytest.raises(
        TypeError, match=r"lens: must be a LensOptions or None, found \{'ranks': \(1, 2\)\}; write lens="
    ):
        FactorLensCallback(lens={"ranks": (1, 2)})
    with pytest.raises(TypeError, match=r"tensorboard: must be a TensorBoardOptions or None, found LensOptions"):
        FactorLensCallback(tensorboard=LensOptions())


def test_arguments_are_keyword_only():
    with pytest.raises(TypeError, match="positional"):
        FactorLensCallback(torch.rand(8, 1, 8, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FactorLensCallback(sinks=JSONLinesSink("x")), "sinks: must be a list of sinks, found <"),
        (lambda: HALS(tol="a"), "tol: must be a number ≥ 0, found 'a'"),
        (lambda: HALS(sample_tol=-1), "sample_tol: .*found -1"),
        (lambda: HALS(momentum="a"), "momentum: .*found 'a'"),
        (lambda: HALS(sweeps=2), "sweeps: must be two whole numbers ≥ 1, .*found 2; "),
        (lambda: HALS(sweeps=(0, 1)), r"sweeps: .*found \(0, 1\)"),
        (lambda: HALS(penalty_W=0.1), r"penalty_W: found 0.1; give a penalty object such as L1\(0.1\)"),
        (lambda: HALS(penalty_F=L1), "penalty_F: found <class"),
        (lambda: MultiplicativeUpdates(tol=None), "tol: "),
        (lambda: MultiplicativeUpdates(penalty_F="l1"), "penalty_F: "),
        (lambda: L1("a"), "weight: .*found 'a'"),
        (lambda: Denormalize(0.5, 0.5), "Denormalize: found mean=0.5 and std=0.5"),
        (lambda: Denormalize(["a"], ["b"]), "Denormalize: "),
        (lambda: ForwardArgs(3), "arguments: .*found 3"),
        (lambda: ForwardArgs([0], target=3), "target: .*found 3"),
        (lambda: Smoothed(Patience(), 3), "smoothing: .*found 3"),
        (lambda: OnMetric(Patience(), 3), "metric: .*found 3"),
        (lambda: FactorLens(3), "model: .*found 3"),
        (lambda: FactorLens(Net(), {"ranks": (1,)}), "options: must be a LensOptions"),
        (lambda: FactorLens(Net(), forward_fn=3), "forward_fn: found 3"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_wrong_arguments_of_small_objects_fail_at_once_and_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_a_failing_forward_fn_is_told_what_the_batch_is(tmp_path):
    with pytest.raises(
        MisconfigurationException, match=r"(?s)forward_fn: .*The batch is \[Tensor \(32, .*\), Tensor \(32,\)\]"
    ):
        train(tmp_path, lens(forward_fn=lambda model, batch: model(batch)))
