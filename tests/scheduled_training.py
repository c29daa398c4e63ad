"""A network with a learning-rate scheduler, and what the tests of stopping record of its training."""

import torch
from lightning.pytorch.callbacks import Callback
from training import Net
from training import lens as make_small_lens

from lightning_factorlens import LabelFreeStopping

MONITOR = "factorlens/consistency"


def lens(**options):
    return make_small_lens(**{"figures_every_n": 0, "fit_power_law": False, "ranks": (1, 2), **options})


class Recorder(Callback):
    """Records the monitored metric and the learning rate of every epoch on this rank."""

    def __init__(self):
        self.rates, self.series = [], []

    def on_train_epoch_start(self, trainer, pl_module):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer, pl_module):
        self.series.append(float(trainer.callback_metrics[MONITOR]))


class Scheduled(Net):
    """A network with the given scheduler, stepped every ``frequency`` epochs or batches."""

    def __init__(self, make, interval="epoch", frequency=1):
        super().__init__()
        self.make, self.options = make, {"interval": interval, "frequency": frequency}

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.02)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.make(optimizer), **self.options}}


def stopping(**options):
    """LabelFreeStopping on the consistency, which has a value at every observation of these small networks."""
    return LabelFreeStopping(**{"monitor": MONITOR, **options})
