"""The callback of transformers' Trainer where transformers is not installed: an error that helps, and a stand-in."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from small_lens import make_net, make_probe

import lightning_factorlens.integrations as integrations
from lightning_factorlens import FactorLens

PATH = f"{integrations.__path__[0]}/hugging_face.py"


def load(monkeypatch, transformers):
    """The callback's module, with something in the place of transformers."""
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    spec = importlib.util.spec_from_file_location("lightning_factorlens.integrations.loaded_for_a_test", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class StandInTrainer:
    """The parts of transformers' Trainer that the callback uses, and the order of its events."""

    def __init__(self, model):
        self.model, self.label_names = model, ["labels"]
        self.train_dataset, self.eval_dataset = None, [{"x": x, "labels": 1} for x in make_probe(8)]
        self.data_collator = lambda rows: {
            "x": torch.stack([r["x"] for r in rows]), "labels": torch.tensor([r["labels"] for r in rows])
        }  # fmt: skip
        self.args = SimpleNamespace(
            device=torch.device("cpu"), world_size=1, remove_unused_columns=True, per_device_eval_batch_size=4,
            eval_strategy="epoch", metric_for_best_model="factorlens/consistency",
        )  # fmt: skip
        self.state = SimpleNamespace(global_step=0, epoch=0.0, log_history=[], is_world_process_zero=True)
        self.callback_handler = SimpleNamespace(callbacks=[])
        self.losses = []

    current_gradient_accumulation_steps = 2

    def training_step(self, model, inputs, num_items_in_batch=None):
        """The loss of a micro-batch, divided by the number of micro-batches of a step of the optimizer."""
        return torch.tensor(inputs, requires_grad=True) / 2

    def log(self, logs):
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self.call("on_log", logs=logs)

    def call(self, event, **kwargs):
        for callback in self.callback_handler.callbacks:
            getattr(callback, event)(self.args, self.state, None, **kwargs)

    def train(self, epochs):
        found = []
        self.call("on_train_begin")
        for epoch in range(1, epochs + 1):
            self.call("on_epoch_begin")
            self.losses += [self.training_step(self.model, loss) for loss in (0.1, 0.3, 0.2 * epoch)]
            self.state.global_step += 3
            self.state.epoch = float(epoch)
            self.call("on_epoch_end")
            metrics = {"eval_loss": 1.0, "eval_runtime": 0.1}
            self.log(metrics)
            found.append(metrics)
        self.call("on_train_end")
        return found


def test_the_events_of_a_trainer_give_metrics_of_the_evaluations(monkeypatch):
    module = load(monkeypatch, SimpleNamespace(TrainerCallback=object))
    trainer = StandInTrainer(make_net())
    callback = module.HuggingFaceCallback(ranks=(1, 2), outputs="classes", on_error="raise").attach(trainer)
    metrics = trainer.train(2)
    assert [(o.epoch, o.step) for o in callback.history] == [(0, 0), (1, 3), (2, 6)]
    expected = [o["consistency"]["consistency"] for o in callback.history]
    assert [found["eval_factorlens/consistency"] for found in metrics] == expected[1:]
    assert [entry["eval_factorlens/consistency"] for entry in trainer.state.log_history] == expected
    assert len(callback.lens.draw(callback._observer._probe)) == 8


def test_the_stop_signals_have_the_mean_loss_of_the_training_steps(monkeypatch):
    module = load(monkeypatch, SimpleNamespace(TrainerCallback=object))
    trainer = StandInTrainer(make_net())
    given = []
    measure = FactorLens.begin

    def begin(lens, *args, training_loss=None, **options):
        given.append(training_loss)
        return measure(lens, *args, training_loss=training_loss, **options)

    monkeypatch.setattr(FactorLens, "begin", begin)
    callback = module.HuggingFaceCallback(ranks=(1, 2), outputs="classes", on_error="raise").attach(trainer)
    assert callback.attach(trainer) is callback, "a second call must not count losses twice"
    trainer.train(2)
    assert given == [None, pytest.approx(0.2), pytest.approx(0.8 / 3)]
    assert [loss.item() for loss in trainer.losses[:2]] == pytest.approx([0.05, 0.15])
    assert trainer.losses[0].requires_grad
    assert len(trainer.losses) == 6


def test_the_error_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "lightning_factorlens.integrations.hugging_face", raising=False)
    with pytest.raises(ModuleNotFoundError, match="HuggingFaceCallback needs transformers"):
        load(monkeypatch, None)
    assert isinstance(integrations, ModuleType)
