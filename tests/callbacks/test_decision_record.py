"""The decisions of LabelFreeStopping in the observations of a run and in its file of JSON lines."""

import json
from dataclasses import dataclass

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from training import Net, loaders, train
from training import lens as make_lens

from lightning_factorlens import FactorLensCallback, JSONLinesSink, LabelFreeStopping, read_jsonl
from lightning_factorlens.measurements import Consistency, WeightSpectra
from lightning_factorlens.results import HandedOver
from lightning_factorlens.results.serialization import from_json
from lightning_factorlens.stopping import Decision, Rule


@dataclass(frozen=True)
class Planned(Rule):
    """A rule whose best epochs and stops are given."""

    bests: tuple = (2,)
    stops: tuple = ()

    def start(self):
        return {"best": None}

    def step(self, state, value, info):
        best = info.epoch if info.epoch in self.bests else state["best"]
        return {"best": best}, Decision(info.epoch in self.stops, best, value, f"as planned for epoch {info.epoch}")


class Decisions(Callback):
    """Collects the decisions of a LabelFreeStopping, without the package's record of them."""

    def __init__(self, stop):
        self.stop = stop
        self.found = []

    def on_validation_end(self, trainer, pl_module):  # the validation of the next epoch
        self.found.append(self.stop.decision)

    on_train_end = on_validation_end


def lens(path, **options):
    return make_lens(**{"measurements": [Consistency()], "sinks": [JSONLinesSink(path)], **options})


def stopping(**options):
    return LabelFreeStopping(**{"rule": Planned(), "verbose": False, **options})


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def resume(checkpoint, *callbacks, epochs):
    trainer = Trainer(
        max_epochs=epochs, callbacks=list(callbacks), logger=False, accelerator="cpu", enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=checkpoint.parent,
    )  # fmt: skip
    trainer.fit(Net(), *loaders(), ckpt_path=checkpoint)
    return trainer


def test_each_decision_is_in_the_line_of_its_observation(tmp_path):
    path = tmp_path / "curves.jsonl"
    advised = stopping(rule=None)
    lowered = stopping(rule=Planned(stops=(2,)), mode="lr", tag_name="rate")
    collected = Decisions(advised)
    callback = lens(path)
    train(tmp_path, advised, lowered, callback, collected, epochs=3)
    found = [observation.decisions for observation in read_jsonl(path)]
    assert found == [observation.decisions for observation in callback.history]
    assert [[(d.tag, d.epoch, d.mode) for d in decisions] for decisions in found] == [[]] + [
        [("factorlens/stop", epoch, "advise"), ("factorlens/rate", epoch, "lr")] for epoch in (1, 2, 3)
    ]
    kept = [decisions[0] for decisions in found[1:]]
    assert [Decision(d.stop, d.best_epoch, d.score, d.reason, d.probability) for d in kept] == collected.found[-3:]
    assert {(d.monitor, d.rule, d.target, d.action) for d in kept} == {
        ("factorlens/accuracy_signal", repr(advised.rule), "accuracy", "")
    }
    assert [(d[1].stop, d[1].action, d[1].target) for d in found[1:]] == [
        (False, "", None), (True, "lr", None), (False, "", None),
    ]  # fmt: skip
    ends = lines(path)[-1]["handed_over"]
    assert [(end["tag"], end["weights"]) for end in ends] == [
        ("factorlens/stop", "unchanged"), ("factorlens/rate", "unchanged"),
    ]  # fmt: skip
    assert all("handed_over" not in line for line in lines(path)[:-1])


def test_the_last_line_says_which_weights_were_handed_over(tmp_path):
    path = tmp_path / "curves.jsonl"
    callback = lens(path, measurements=[Consistency(), WeightSpectra()], figures_every_n=0)
    stop = stopping(rule=Planned(stops=(4,)), mode="stop", restore_best="average")
    train(tmp_path, callback, stop, epochs=9)
    observations = read_jsonl(path)
    assert [[d.action for d in observation.decisions] for observation in observations] == [
        [],
        [""],
        [""],
        [""],
        ["stop"],
    ]
    assert all("weight_spectra" in o for o in (observations[0], observations[-1]))  # they are computed later
    words = "restores the average of the weights up to epoch 4, where epoch 2 is the best"
    expected = (HandedOver("factorlens/stop", "average", 4, words),)
    assert [observation.handed_over for observation in observations] == [()] * 4 + [expected]
    assert callback.observation.handed_over == callback.history[-1].handed_over == expected


def test_a_resumed_run_has_each_decision_once(tmp_path):
    path = tmp_path / "curves.jsonl"
    keep = ModelCheckpoint(tmp_path / "kept", "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    train(tmp_path, lens(path), stopping(), keep, epochs=4, enable_checkpointing=True)
    before = lines(path)
    callback = lens(path)
    resume(tmp_path / "kept" / "epoch=1.ckpt", callback, stopping(), epochs=5)
    after = lines(path)
    assert after[:3] == before[:3]
    assert [[d["epoch"] for d in line.get("decisions", ())] for line in after] == [[], [1], [2], [3], [4], [5]]
    assert [len(observation.decisions) for observation in callback.history] == [0, 1, 1, 1, 1, 1]
    assert [line["epoch"] for line in after if "handed_over" in line] == [5]


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.parametrize("used_before", [False, True])
def test_a_decision_by_an_observation_of_before_the_resume_is_in_its_line(tmp_path, used_before):
    path = tmp_path / "curves.jsonl"
    keep = ModelCheckpoint(tmp_path / "kept", "{step}", every_n_train_steps=3, save_top_k=-1)
    callback, stop = lens(path, every_n_train_steps=3), stopping()
    train(tmp_path, callback, stop, keep, epochs=2, enable_checkpointing=True)
    before = lines(path)
    if not used_before:
        without = {name: value for name, value in before[1].items() if name != "decisions"}
        path.write_text(json.dumps(before[0]) + "\n" + json.dumps(without) + "\n")  # the run was killed here
        callback, stop = lens(path, every_n_train_steps=3), stopping()
    resume(tmp_path / "kept" / "step=3.ckpt", callback, stop, epochs=1)  # after an observation, within the epoch
    first, second = lines(path)
    assert first == before[0]
    assert second.pop("handed_over")[0]["weights"] == "unchanged"
    assert second == before[1]
    assert [[d.epoch for d in observation.decisions] for observation in callback.history] == [[], [1]]


def test_weights_are_told_where_the_resumed_run_has_made_no_observation(tmp_path):
    path = tmp_path / "curves.jsonl"
    keep = ModelCheckpoint(tmp_path / "kept", "{epoch}", save_on_train_epoch_end=True)
    train(
        tmp_path, lens(path, every_n_epochs=2), stopping(restore_best=True), keep, epochs=2, enable_checkpointing=True
    )
    callback = lens(path, every_n_epochs=2)
    resume(tmp_path / "kept" / "epoch=1.ckpt", callback, stopping(restore_best=True), epochs=3)
    for last in (read_jsonl(path)[-1], callback.history[-1]):
        assert [(end.weights, end.epoch) for end in last.handed_over] == [("best", 2)]


def test_a_fit_that_trains_nothing_adds_nothing(tmp_path):
    path = tmp_path / "curves.jsonl"
    trainer, module = train(tmp_path, lens(path), stopping(), epochs=1)
    before = lines(path)
    trainer.fit(module, *loaders())
    assert lines(path) == before


def test_without_a_rule_lines_are_as_before_and_lines_of_before_are_read(tmp_path):
    path = tmp_path / "curves.jsonl"
    train(tmp_path, lens(path), epochs=1)
    assert not any({"decisions", "handed_over"} & line.keys() for line in lines(path))
    assert {(o.decisions, o.handed_over) for o in read_jsonl(path)} == {((), ())}
    content = lines(path)[-1]
    content["decisions"] = [{**dict.fromkeys(FIELDS), "score": "NaN", "what comes later": 1}]
    assert from_json(json.dumps(content)).decisions[0].score != 0.0


FIELDS = ("tag", "monitor", "rule", "target", "mode", "epoch", "stop", "best_epoch", "reason")


def test_a_decision_that_cannot_be_written_does_not_end_the_training(tmp_path, monkeypatch):
    def fail(self, observation):
        raise OSError("disk full")

    monkeypatch.setattr(JSONLinesSink, "amend", fail)
    stop = stopping()
    with pytest.warns(UserWarning, match="could not record its decision: OSError: disk full") as caught:
        trainer, _ = train(tmp_path, lens(tmp_path / "curves.jsonl"), stop, epochs=3)
    assert trainer.current_epoch == 3
    assert sum("record its decision" in str(warning.message) for warning in caught) == 1


def test_a_file_that_something_else_has_changed_since_is_left_alone(tmp_path):
    path = tmp_path / "curves.jsonl"

    class Move(Callback):
        def on_fit_end(self, trainer, pl_module):
            path.write_text("{}\n")

    train(tmp_path, FactorLensCallback(sinks=[JSONLinesSink(path)], measurements=[Consistency()]), Move(), stopping(),
          epochs=1)  # fmt: skip
    assert path.read_text() == "{}\n"
