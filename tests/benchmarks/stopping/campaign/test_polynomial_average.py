"""The campaign's average of saved weights, beside that with which a run of LabelFreeStopping ends."""

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from scheduled_training import MONITOR, lens
from torch.nn.utils import parameters_to_vector
from training import train

from benchmarks.stopping.campaign.polynomial_average import polynomial_average
from benchmarks.stopping.campaign.rules import scheduled
from lightning_factorlens import LabelFreeStopping, epoch_infos
from lightning_factorlens.callbacks._averaged_weights import EPOCHS_AFTER
from lightning_factorlens.measurements import Consistency
from lightning_factorlens.stopping import replay

RULE = scheduled(patience=EPOCHS_AFTER + 2, warmup=2)


class Saved(Callback):
    """Saves the weights of every epoch, as the campaign does, and the series that the rule receives."""

    def __init__(self):
        self.weights = []
        self.series = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.weights.append(parameters_to_vector(pl_module.parameters()).detach().clone())
        self.series.append(float(trainer.callback_metrics[MONITOR]))


def test_a_run_ends_with_the_average_that_the_campaign_computes_from_its_saved_weights(tmp_path):
    saved = Saved()
    stop = LabelFreeStopping(monitor=MONITOR, rule=RULE, mode="stop", restore_best="average", verbose=False)
    trainer, module = train(tmp_path, stop, lens(measurements=[Consistency()]), saved, epochs=40)
    decisions = replay(RULE, saved.series, epoch_infos(len(saved.series)))
    last = 1 + [decision.stop for decision in decisions].index(True)
    around = decisions[-1].best_epoch + EPOCHS_AFTER
    assert trainer.current_epoch == last == len(saved.series)
    assert stop.best_epoch == around < last
    expected = polynomial_average(torch.stack(saved.weights)[:around])
    np.testing.assert_allclose(parameters_to_vector(module.parameters()).detach(), expected, rtol=1e-4, atol=1e-6)
