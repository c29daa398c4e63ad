"""The callback inside a real Trainer."""

import copy
import logging
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from training import RANKS, Net, Snapshot, lens, loaders, scalars, train

from lightning_factorlens.factorization import HALS
from lightning_factorlens.measurements import NeuronSimilarity
from lightning_factorlens.metrics.consistency import alternating_shift


def test_every_promised_tag_has_one_finite_point_an_epoch_and_rmse_falls_with_the_rank(tmp_path):
    train(tmp_path, lens(detail="all"), epochs=4)
    found = scalars(tmp_path)
    layers = ["relu", "relu-2", "F.relu"]
    promised = [f"factorlens/{t}" for t in ("consistency", "effective_rank", "rank_at_30pct")]
    promised += ["factorlens_cost/seconds", "factorlens_spectra/mean_alpha", "factorlens_spectra/alpha_hat"]
    for r in RANKS:
        promised += [f"factorlens/rel_error/rank_{r}", f"factorlens_total/rmse/rank_{r}"]
        promised += [f"factorlens_{s}/{q}/rank_{r}" for s in ("inputs", "activations") for q in ("rmse", "rel_error")]
        promised += [f"factorlens_svd/{s}/rel_error/rank_{r}" for s in ("total", "inputs", "activations", *layers)]
        promised += [f"factorlens_layers/{n}/{q}/rank_{r}" for n in layers for q in ("rmse", "rel_error")]
    promised += [f"factorlens_layers/{n}/{q}" for n in layers for q in ("rms", "effective_rank")]
    promised += [
        f"factorlens_spectra/{n}/{q}" for n in ("conv2",) for q in ("alpha", "lambda_max", "n_tail", "ks_distance")
    ]
    for tag in promised:
        points = found[tag]
        assert [step for step, _ in points] == [0, 3, 7, 11, 15], tag
        assert np.isfinite([v for _, v in points]).all(), tag
    overhead = found["factorlens_cost/overhead"]
    assert len(overhead) == 4
    assert all(0 < v <= 1 for _, v in overhead)
    for k in range(5):
        curve = [found[f"factorlens_total/rmse/rank_{r}"][k][1] for r in RANKS]
        assert all(a > b for a, b in zip(curve, curve[1:]))
        for r in RANKS:
            svd_error = found[f"factorlens_svd/total/rel_error/rank_{r}"][k][1]
            assert found[f"factorlens/rel_error/rank_{r}"][k][1] >= svd_error - 1e-6
    assert [step for step, _ in found["val_loss"]] == [
        3,
        7,
        11,
        15,
    ]  # the lens's points have the same steps as the user's


def test_a_failure_inside_the_lens_never_costs_the_run(tmp_path, monkeypatch):
    callback, observed, alone = lens(), Snapshot(), Snapshot()
    train(tmp_path / "a", alone)
    calls = []
    stop = EarlyStopping("factorlens/consistency", patience=50, check_on_train_epoch_end=True)

    def explode(*args, **kwargs):
        calls.append(1)
        raise RuntimeError("out of memory in the lens")

    class Sabotage(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            monkeypatch.setattr(callback.lens, "begin", explode)

    with pytest.warns(
        UserWarning, match="FactorLens could not observe: RuntimeError: out of memory in the lens"
    ) as caught:
        trainer, _ = train(tmp_path / "b", callback, Sabotage(), stop, observed)
    assert trainer.current_epoch == 3
    assert len(calls) == 6  # at each epoch the whole observation, and then the signal alone
    assert callback.state.n_failed == 3
    assert sum("could not observe" in str(w.message) for w in caught) == 1
    assert all(torch.equal(v, observed.weights[k]) for k, v in alone.weights.items())
    callback = lens(on_error="raise")
    with pytest.raises(RuntimeError, match="out of memory in the lens"):
        train(tmp_path / "c", callback, Sabotage())


def test_nan_in_a_layer_is_named_and_training_goes_on(tmp_path):
    class Poison(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            pl_module.conv2.weight.data.fill_(torch.nan)

    with pytest.warns(UserWarning, match="block 'relu-2' has .*NaN or infinite"):
        trainer, _ = train(tmp_path, Poison(), lens())
    assert trainer.current_epoch == 3


def test_cadence(tmp_path):
    train(tmp_path / "epochs", lens(every_n_epochs=2), epochs=5)
    assert [s for s, _ in scalars(tmp_path / "epochs")["factorlens/consistency"]] == [0, 7, 15]
    train(tmp_path / "steps", lens(every_n_train_steps=3), epochs=2, accumulate_grad_batches=2)
    steps = [s for s, _ in scalars(tmp_path / "steps")["factorlens/consistency"]]
    assert len(steps) == 2  # the baseline and after 3 of 4 optimizer steps, not once for each accumulated batch


def test_state_survives_a_checkpoint_under_weights_only(tmp_path):
    keep = ModelCheckpoint(tmp_path / "kept", save_last=True, save_on_train_epoch_end=True)
    callback = lens()
    train(tmp_path / "a", callback, keep, epochs=2, enable_checkpointing=True)
    torch.load(keep.last_model_path, weights_only=True)
    resumed = lens()
    torch.manual_seed(3)
    trainer = Trainer(
        max_epochs=4, callbacks=[resumed], logger=TensorBoardLogger(tmp_path, name="", version="b"), accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Net(), *loaders(), ckpt_path=keep.last_model_path)
    assert [s for s, _ in scalars(tmp_path / "b")["factorlens/consistency"]] == [11, 15]
    assert resumed.state.n_measured == 5


@pytest.mark.parametrize("broken", [None, 2])
def test_consistency_equals_its_formula_in_float64(tmp_path, monkeypatch, broken):
    """The networks are kept as they were at each observation; where one fails, the signal enters the ensemble once."""
    nets, failing = [], []

    class Keep(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            nets.append(copy.deepcopy(pl_module).eval().double())

    def fail_once(*args):
        if callback.state.epochs == broken and not failing:
            failing.append("now")
            raise RuntimeError("broken measurement")
        return measure(*args)

    measure = NeuronSimilarity.measure  # it runs after the consistency
    monkeypatch.setattr(NeuronSimilarity, "measure", fail_once)
    callback = lens()
    with pytest.warns(UserWarning, match="broken measurement") if broken else nullcontext():
        train(tmp_path, callback, Keep(), epochs=4)
    x = callback.probe_batch.inputs.double()
    moved = alternating_shift(x, 1)
    average, expected = None, {}
    for epoch, net in enumerate(nets, 1):
        with torch.no_grad():
            p, log_q = net(x).softmax(1), net(moved).log_softmax(1)
        average = p if average is None else 0.8 * average + 0.2 * p
        balance = np.log(3) + float(torch.xlogy(p.mean(0), p.mean(0)).sum())
        expected[epoch] = float(-log_q.gather(1, average.argmax(1, keepdim=True)).mean()) + balance
    found = {o.epoch: o["consistency"]["consistency"] for o in callback.history if o.epoch}
    assert found == pytest.approx(expected, rel=1e-5)


def test_two_lenses_and_no_logger(tmp_path):
    a, b = lens(), lens(prefix="other", layers="relu-2", solver=HALS(n_init=1))
    trainer, _ = train(tmp_path, a, b, logger=False)
    assert "factorlens/consistency" in trainer.callback_metrics
    assert "other_total/rmse/rank_4" in trainer.callback_metrics
    train(tmp_path, lens(), fast_dev_run=True, logger=True)


def test_the_layer_table_and_the_summary_are_printed(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        logging.getLogger("lightning.pytorch").propagate = True
        train(tmp_path, lens(verbose=True), epochs=1)
    assert "relu-2" in caplog.text
    assert "tensors are observed" in caplog.text
    assert "print(callback.lens.layer_table) shows all rows" in caplog.text
    assert "FactorLens: 2 observations in" in caplog.text
    summary = caplog.text.partition("FactorLens, summary of the run")[2]
    questions = ("Still learning? ", "Memorising? ", "When to stop? ")
    assert all(line.startswith(question) for line, question in zip(summary.splitlines()[1:], questions))
    header = summary.splitlines()[4]
    assert re.fullmatch(
        r" *first, epoch \d \(step \d\)( +best, epoch \d \(step \d\))? +last, epoch \d \(step \d\)", header
    )
    assert "consistency" in summary


def test_a_checkpoint_without_a_lens_can_be_resumed_with_one(tmp_path):
    keep = ModelCheckpoint(tmp_path / "kept", save_last=True)
    train(tmp_path / "a", keep, epochs=2, enable_checkpointing=True)
    stop = EarlyStopping("factorlens/consistency", patience=50, check_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=4, callbacks=[lens(every_n_epochs=4), stop], logger=TensorBoardLogger(tmp_path, name="", version="b"),
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Net(), *loaders(), ckpt_path=keep.last_model_path)
    assert [s for s, _ in scalars(tmp_path / "b")["factorlens/consistency"]] == [8, 15]


def test_modules_named_like_a_part_keep_their_curves(tmp_path):
    class Named(Net):
        def __init__(self):
            super().__init__()
            self.activations, self.total = self.relu, nn.ReLU()

        def forward(self, x):
            return self.total(super().forward(x))

    callback = lens()
    train(tmp_path, callback, module=Named(), epochs=1)
    curves = callback.observation["reconstruction_error"].curves
    assert {"total", "inputs", "activations", "total-block", "relu", "relu-2"} <= set(curves)


def test_the_cost_of_writing_is_counted(tmp_path):
    callback = lens(figures_every_n=1)
    train(tmp_path, callback, epochs=2)
    seconds = callback.observation["cost"].seconds
    assert seconds["writing"] > 0
    assert seconds["total"] > sum(v for k, v in seconds.items() if k != "total") * 0.9


def test_a_second_fit_starts_a_new_run(tmp_path):
    callback = lens()
    train(tmp_path / "a", callback)
    first = callback.observation["reconstruction_error"]["total"]
    train(tmp_path / "b", callback)
    assert callback.observation["reconstruction_error"]["total"] == first


def test_errors_are_those_of_the_factors(tmp_path):
    callback = lens()
    train(tmp_path, callback, epochs=1)
    result = callback.observation.factorization
    sse = result.sse.sum(1)
    rmse = (sse / sum(f.shape[0] * 32 for f in result.W[0])).sqrt()
    assert callback.observation["reconstruction_error"]["total"].rmse == pytest.approx(rmse.tolist(), rel=1e-5)
