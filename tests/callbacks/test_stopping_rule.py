"""LabelFreeStopping with a threshold of the probability that the best epoch lies behind."""

import logging
import warnings

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from scheduled_training import lens
from training import scalars, train

from lightning_factorlens import LabelFreeStopping
from lightning_factorlens.callbacks._stopping_arguments import warn_of_untested_signal
from lightning_factorlens.measurements import consistency as measured
from lightning_factorlens.stopping import BestEpochBehind, Patience, default_monitor, default_rule, epoch_infos, replay

THRESHOLD = 0.35
MONITOR = default_monitor()


def test_a_stop_at_a_probability_equals_the_replay_also_after_a_resume(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(measured, "LEAST_DISTINCTION", 0.0)  # this network learns too little to tell its inputs apart
    stop = LabelFreeStopping(min_probability=THRESHOLD, mode="stop")
    keep = ModelCheckpoint(tmp_path / "kept", "{epoch}", save_top_k=-1, save_on_train_epoch_end=True)
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        trainer, _ = train(
            tmp_path, lens(measurements=[measured.Consistency()]), stop, keep, epochs=25, enable_checkpointing=True
        )
    points = [value for _, value in scalars(tmp_path)[MONITOR]]
    decisions = replay(BestEpochBehind(default_rule(), THRESHOLD), points, epoch_infos(len(points), max_epochs=25))
    expected = [decision.stop for decision in decisions].index(True) + 1
    assert 5 < trainer.current_epoch == expected == len(points) < 25
    logged = [value for _, value in scalars(tmp_path)["factorlens/stop_probability"]]
    assert logged == pytest.approx([decision.probability for decision in decisions], rel=1e-4)
    assert "with an estimated probability of" in caplog.text and "min_probability is 35%" in caplog.text
    assert f"probability of {stop.decision.probability:.0%}" in str(stop.decision.reason)
    assert stop.stop_advice.probability == stop.decision.probability
    saved = torch.load(tmp_path / "kept" / f"epoch={expected - 3}.ckpt", weights_only=True)["callbacks"]
    again = LabelFreeStopping(min_probability=THRESHOLD, mode="stop")
    again.load_state_dict(saved[stop.state_key])
    infos = epoch_infos(len(points), max_epochs=25)
    state = again.state_dict()["rule_state"]
    for value, info, decision in list(zip(points, infos, decisions))[expected - 2 :]:
        state, resumed = again.rule.step(state, value, info)
        assert (resumed.stop, resumed.best_epoch) == (decision.stop, decision.best_epoch)
        assert resumed.probability == pytest.approx(decision.probability, rel=1e-4)


def test_rules_of_ones_own_and_other_metrics_have_no_probability():
    with_own_rule = LabelFreeStopping(rule=Patience(3))
    assert with_own_rule.rule == Patience(3)
    other = LabelFreeStopping(monitor="factorlens/effective_rank")
    for stopping in (with_own_rule, other):
        assert not any("probability" in tag for tag in stopping.tags)
    assert LabelFreeStopping(monitor="mine/loss_signal").tags[-1] == "mine/stop_probability"
    for target in ("accuracy", "loss"):
        stopping = LabelFreeStopping(rule=Patience(3), min_probability=0.9, target=target)
        assert stopping.rule == BestEpochBehind(Patience(3), 0.9, target)
        assert stopping.monitor == f"factorlens/{target}_signal"


def test_without_a_target_it_is_that_of_the_monitor_and_else_the_accuracy():
    assert LabelFreeStopping().monitor == default_monitor() == "factorlens/accuracy_signal"
    assert (
        LabelFreeStopping().rule
        == BestEpochBehind(default_rule(), target="accuracy")
        == BestEpochBehind(default_rule())
    )
    by_loss = LabelFreeStopping(monitor="mine/loss_signal", min_probability=0.9)
    assert by_loss.rule == BestEpochBehind(default_rule(), 0.9, "loss")
    targets = []
    for options in ({}, {"monitor": "mine/loss_signal"}, {"monitor": "factorlens/rmse"}, {"rule": Patience(3)}):
        targets.append(LabelFreeStopping(**options).target)
    assert targets == ["accuracy", "loss", "accuracy", None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"min_probability": 90},
            "min_probability: must be a number between 0 and 1, or None for no threshold, found 90",
        ),
        (
            {"min_probability": 0.9, "monitor": "factorlens/effective_rank"},
            "calibrated for 'factorlens/accuracy_signal' alone",
        ),
        ({"target": "f1"}, "target: found 'f1', allowed are 'loss', 'accuracy'"),
        ({"target": "accuracy", "rule": Patience(3)}, "target: found 'accuracy' together with a rule"),
        ({"target": "loss", "rule": Patience(3)}, "target: found 'loss' together with a rule"),
    ],
    ids=str,
)
def test_an_error_names_the_wrong_argument(options, message):
    with pytest.raises(ValueError, match=message):
        LabelFreeStopping(**options)


@pytest.mark.parametrize(("target", "reached"), [("loss", 0.8), ("accuracy", 0.7)])
def test_the_probability_is_reached_without_a_planned_number_of_epochs(target, reached):
    series = [2.0, 1.8, 1.5, 1.3, 1.1, 1.0, 0.9, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4]
    infos = [type(info)(info.epoch) for info in epoch_infos(len(series))]
    rule = BestEpochBehind(default_rule(target), target=target)
    probabilities = [decision.probability for decision in replay(rule, series, infos)]
    assert probabilities[7] < 0.3 < reached < probabilities[-1]
    assert probabilities[8:] == sorted(probabilities[8:])


@pytest.mark.parametrize(("options", "warns"), [({"mode": "stop"}, True), ({"restore_best": True}, True), ({}, False)])
def test_a_stop_by_a_signal_that_has_failed_warns(options, warns):
    settings = {"mode": "advise", "restore_best": False, **options}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_untested_signal("factorlens/perturbation_consistency", **settings)
        warn_of_untested_signal("factorlens/loss_signal", **settings)
    assert ["lost 15 to 50 points" in str(warning.message) for warning in caught] == [True] * warns
