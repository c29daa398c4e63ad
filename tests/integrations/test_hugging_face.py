"""transformers' Trainer with the callback: the same training, and scalars on which the Trainer can act."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lightning_factorlens import FactorLens, JSONLinesSink, read_jsonl
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.measurements import Consistency, ReconstructionError

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from lightning_factorlens.integrations._trainer_probe import trainer_samples  # noqa: E402
from lightning_factorlens.integrations.hugging_face import HuggingFaceCallback  # noqa: E402

CONSISTENCY = "eval_factorlens/consistency"


class Samples(Dataset):
    """Random images and labels, with a column that the model does not take."""

    def __init__(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.rand(n, 1, 8, 8, generator=generator)
        self.n_read = 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.n_read += 1
        image = self.images[index]
        return {"pixel_values": image, "mask": torch.ones(1), "labels": index % 3, "name": f"image {index}"}


class Net(nn.Module):
    """A small classifier in the style of transformers, with dropout, so that random numbers matter."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, 4, 3), nn.ReLU()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(144, 3)

    def forward(self, pixel_values, mask, labels=None):
        logits = mask * self.head(self.drop(self.relu(self.conv(pixel_values)).flatten(1)))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits} if loss is not None else {"logits": logits}


def vit():
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4,
        num_channels=1, num_labels=3,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.ViTForImageClassification(config)


def make_trainer(folder, model=None, **options):
    torch.manual_seed(0)
    defaults = {
        "num_train_epochs": 2, "per_device_train_batch_size": 8, "eval_strategy": "epoch", "logging_strategy": "epoch",
        "save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True, "seed": 3,
    }  # fmt: skip
    callbacks = options.pop("callbacks", None)
    data = {"train_dataset": Samples(32, 0), "eval_dataset": Samples(16, 1), **options.pop("data", {})}
    args = transformers.TrainingArguments(str(folder), **(defaults | options))
    trainer = transformers.Trainer(Net() if model is None else model, args, callbacks=callbacks, **data)
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def observing(trainer, **options):
    settings = {"probe_size": 12, "ranks": (1, 2), "outputs": "classes", "on_error": "raise"}
    return HuggingFaceCallback(**(settings | options)).attach(trainer)


def everything_of(trainer):
    """What must be the same with and without the callback, as bytes and plain values."""
    optimizer = trainer.optimizer.state_dict()["state"]
    states = [*trainer.model.state_dict().values()]
    states += [value for state in optimizer.values() for value in state.values()]
    random = [torch.random.get_rng_state(), torch.from_numpy(np.random.get_state()[1].astype(np.int64))]
    reads = trainer.train_dataset.n_read, trainer.eval_dataset.n_read
    timeless = []
    for entry in trainer.state.log_history:
        timeless.append({key: entry[key] for key in entry if "factorlens" not in key and "second" not in key})
    timeless = [{key: entry[key] for key in entry if "runtime" not in key} for entry in timeless]
    return [tensor.clone() for tensor in states + random], reads, [entry for entry in timeless if len(entry) > 2]


def test_training_is_bit_for_bit_the_same(tmp_path):
    plain = make_trainer(tmp_path)
    plain.train()
    expected = everything_of(plain)
    watched = make_trainer(tmp_path)
    callback = observing(watched)
    watched.train()
    found = everything_of(watched)
    assert all(torch.equal(one, other) for one, other in zip(expected[0], found[0], strict=True))
    assert found[1:] == expected[1:]
    assert [(o.epoch, o.step) for o in callback.history] == [(0, 0), (1, 4), (2, 8)]
    rows = [row.name for row in callback.lens.layer_table if row.selected]
    assert "relu" in rows


def test_the_trainer_stops_and_keeps_the_best_by_its_scalars(tmp_path):
    stopping = transformers.EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=1e6)
    trainer = make_trainer(
        tmp_path, callbacks=[stopping], num_train_epochs=9, save_strategy="epoch", load_best_model_at_end=True,
        metric_for_best_model="factorlens/consistency", greater_is_better=False,
    )  # fmt: skip
    received = []

    class Listener(transformers.TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            received.append(dict(logs))

    trainer.add_callback(Listener())
    sink = JSONLinesSink(tmp_path / "run.jsonl")
    callback = observing(trainer, measurements=[Consistency(), ReconstructionError()], sinks=[sink])
    trainer.train()
    values = [o["consistency"]["consistency"] for o in callback.history]
    assert len(values) == 3, "the second evaluation is no improvement by a million, so that patience 1 ends the run"
    assert trainer.state.best_metric == min(values[1:])
    logged = [entry[CONSISTENCY] for entry in trainer.state.log_history if CONSISTENCY in entry]
    assert logged == [entry[CONSISTENCY] for entry in received if CONSISTENCY in entry] == values
    assert [o.step for o in read_jsonl(sink.path)] == [o.step for o in callback.history]


def test_without_evaluations_the_epochs_are_logged(tmp_path):
    trainer = make_trainer(tmp_path, vit(), eval_strategy="no", data={"eval_dataset": None})
    callback = observing(trainer, outputs=None)
    trainer.train()
    assert [entry["epoch"] for entry in trainer.state.log_history if CONSISTENCY in entry] == [0, 1.0, 2.0]
    assert callback.history[-1].value("consistency") is not None
    assert any("attention" in row.name or "intermediate" in row.name for row in callback.lens.layer_table)


def test_the_scalars_belong_to_one_evaluation_of_several(tmp_path):
    sets = {"near": Samples(8, 1), "far": Samples(8, 2)}
    trainer = make_trainer(tmp_path, data={"eval_dataset": sets}, num_train_epochs=1)
    observing(trainer, measurements=[Consistency()])
    trainer.train()
    having = [entry for entry in trainer.state.log_history if CONSISTENCY in entry and entry["epoch"]]
    assert len(having) == 1
    assert "eval_near_loss" in having[0]


def test_an_observation_that_fails_ends_no_patience_of_others(tmp_path, monkeypatch):
    stopping = transformers.EarlyStoppingCallback(early_stopping_patience=1)
    trainer = make_trainer(
        tmp_path, callbacks=[stopping], num_train_epochs=3, save_strategy="epoch", load_best_model_at_end=True,
        metric_for_best_model="factorlens/consistency", greater_is_better=False, logging_strategy="no",
        lr_scheduler_type="reduce_lr_on_plateau", lr_scheduler_kwargs={"patience": 0},
    )  # fmt: skip
    observing(trainer, on_error="warn")
    monkeypatch.setattr("lightning_factorlens.lens.FactorLens.observe", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="could not observe"):
        trainer.train()
    assert trainer.state.epoch == 3
    assert trainer.optimizer.param_groups[0]["lr"] == trainer.args.learning_rate


def test_the_error_about_a_missing_metric_says_why_it_is_missing(tmp_path):
    trainer = make_trainer(tmp_path, metric_for_best_model="factorlens/consistency")
    observing(trainer, outputs="regression")
    with pytest.raises(
        ValueError, match="the observation has no consistency: .*regressed values.*factorlens/rank_at_50pct"
    ):
        trainer.train()


def test_failures_never_cost_the_run_but_a_wrong_configuration_ends_it_before(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, metric_for_best_model="factorlens/consistency", greater_is_better=False)
    callback = observing(trainer, on_error="warn")
    monkeypatch.setattr("lightning_factorlens.lens.FactorLens.observe", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="could not observe: ZeroDivisionError") as caught:
        trainer.train()
    assert len([w for w in caught if "could not observe" in str(w.message)]) == 1
    assert trainer.state.global_step == 8
    assert math.isnan(trainer.state.log_history[-2][CONSISTENCY])
    assert len(callback.history) == 0
    monkeypatch.setattr("lightning_factorlens.integrations.hugging_face.TrainerObserver", lambda *_: 1 / 0)
    trainer = make_trainer(tmp_path, metric_for_best_model="factorlens/consistency", num_train_epochs=1)
    observing(trainer, on_error="warn")
    with pytest.warns(UserWarning, match="could not observe"):
        trainer.train()
    monkeypatch.undo()
    trainer = make_trainer(tmp_path)
    observing(trainer, on_error="warn", ranks=(1, 99))
    with pytest.raises(ValueError, match="ranks: rank 99"):
        trainer.train()
    trainer = make_trainer(tmp_path, metric_for_best_model="factorlens/consistensy")
    observing(trainer)
    with pytest.raises(ValueError, match="metric_for_best_model: found 'factorlens/consistensy'"):
        trainer.train()
    with pytest.raises(ValueError, match="attach"):
        make_trainer(tmp_path, callbacks=[HuggingFaceCallback()]).train()


class ByItems(Net):
    """A network that divides the sum of its losses by the number of labels of a whole step, as language models do."""

    def forward(self, pixel_values, mask, labels=None, num_items_in_batch=None, **kwargs):
        found = super().forward(pixel_values, mask)
        if labels is not None:
            number = (labels != -100).sum() if num_items_in_batch is None else num_items_in_batch
            found["loss"] = nn.functional.cross_entropy(found["logits"], labels, reduction="sum") / number
        return {name: found[name] for name in ("loss", "logits") if name in found}


class PartlyLabelled(Samples):
    """Samples of which one in three has no label, so that micro-batches have different numbers of labels."""

    def __getitem__(self, index):
        found = super().__getitem__(index)
        return {**found, "labels": -100 if index % 3 == 1 else found["labels"]}


@pytest.mark.parametrize("kind", ["means", "sums over items"])
def test_the_signals_have_the_mean_training_loss_of_the_micro_batches(kind, tmp_path, monkeypatch):
    losses, found = [], []
    begin = FactorLens.begin

    def recording_begin(lens, *args, training_loss=None, **options):
        found.append(training_loss)
        return begin(lens, *args, training_loss=training_loss, **options)

    class Recording(transformers.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            result = super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)
            if model.training:
                losses.append(float(result.detach()))
            return result

    monkeypatch.setattr(FactorLens, "begin", recording_begin)
    monkeypatch.setattr(transformers, "Trainer", Recording)
    by_items = kind == "sums over items"
    trainer = make_trainer(
        tmp_path, ByItems() if by_items else Net(), per_device_train_batch_size=4, gradient_accumulation_steps=3,
        data={"train_dataset": PartlyLabelled(32, 0) if by_items else Samples(32, 0)},
    )  # fmt: skip
    callback = observing(trainer, measurements=[Consistency()])
    trainer.train()
    assert trainer.model_accepts_loss_kwargs == by_items
    means = []
    for epoch in (losses[:8], losses[8:]):  # two steps of three micro-batches, and one of two
        in_steps = 3 * sum(epoch[:3]) + 3 * sum(epoch[3:6]) + 2 * sum(epoch[6:])
        means.append((in_steps if by_items else sum(epoch)) / 8)
    assert found == [None, pytest.approx(means[0], rel=1e-6), pytest.approx(means[1], rel=1e-6)]
    assert math.isfinite(callback.history[-1]["consistency"]["memorization_gap"])


def test_the_training_loss_is_the_one_that_the_trainer_logs(tmp_path):
    trainer = make_trainer(tmp_path, vit(), label_smoothing_factor=0.1, gradient_accumulation_steps=2, max_steps=2)
    callback = observing(trainer, outputs=None, on_error="warn")
    trainer.add_callback(ReadsLoss(callback))
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged
    assert trainer.callback_handler.callbacks[-1].means == pytest.approx(logged, rel=1e-6)


def test_two_callbacks_and_one_attached_late_or_again_have_all_losses(tmp_path):
    late = HuggingFaceCallback(probe_size=12, ranks=(1, 2), outputs="classes", measurements=[Consistency()])
    trainer = make_trainer(tmp_path, callbacks=[late], num_train_epochs=1)
    again = observing(trainer, prefix="again", measurements=[Consistency()])
    trainer.remove_callback(again)
    again.attach(trainer)
    late.attach(trainer).attach(trainer)
    assert trainer.callback_handler.callbacks[:2] == [late, again]
    counts = []
    trainer.add_callback(OnEpochEnd(lambda: counts.append([c.state.training_loss.count for c in (late, again)])))
    trainer.train()
    assert counts == [[4, 4]]
    gaps = [c.history[-1]["consistency"]["memorization_gap"] for c in (late, again)]
    assert gaps[0] == gaps[1]
    assert math.isfinite(gaps[0])


def test_a_callback_observes_the_trainer_to_which_it_was_attached_last(tmp_path):
    first, second = (make_trainer(tmp_path, num_train_epochs=1) for _ in range(2))
    callback = observing(first, measurements=[Consistency()])
    callback.attach(second)
    with pytest.raises(ValueError, match=r"attached to another Trainer since; .* call attach\(trainer\) again"):
        first.train()
    callback.attach(first)
    first.train()
    assert callback.lens.model is first.model
    assert math.isfinite(callback.history[-1]["consistency"]["memorization_gap"])


class OnEpochEnd(transformers.TrainerCallback):
    """Calls a function at the end of an epoch."""

    def __init__(self, work):
        self.work = work

    def on_epoch_end(self, args, state, control, **kwargs):
        self.work()


class ReadsLoss(transformers.TrainerCallback):
    """Reads the mean training loss when the Trainer logs its own."""

    def __init__(self, observing):
        self.observing, self.means = observing, []

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.means.append(self.observing.state.training_loss.mean(SingleProcess()))


def test_no_label_reaches_the_lens(tmp_path):
    trainer = make_trainer(tmp_path)
    callback = observing(trainer)
    callback.on_train_begin(trainer.args, trainer.state, trainer.control)
    assert callback.lens.forward_fn.keys == ("pixel_values", "mask")
    batch = next(iter(trainer_samples(trainer)))
    assert batch.keys() == {"pixel_values", "mask"}
