"""The training runs that are killed and resumed, and the places at which they are killed."""

from __future__ import annotations

import random

from benchmarks.safety.kill_and_resume.train import BATCHES, MEASUREMENT, Run

#: Hooks in which a run is killed, and the last of their calls that may be chosen; all lie within the first two epochs.
PLACES = {
    "on_train_batch_start": 2 * BATCHES,
    "on_before_optimizer_step": 2 * BATCHES,
    "on_train_batch_end": 2 * BATCHES,
    "on_validation_batch_end": 9,
    MEASUREMENT: 2,
}
#: A checkpoint in the last batch of every epoch, and a kill after the third of them.
LAST_BATCH = {"every_n_train_steps": BATCHES}
LATE_KILL = ((3 * BATCHES + 4, "on_train_batch_start"),)

RUNS = (
    Run("a measurement an epoch, a checkpoint every 7 steps", patience=None),
    Run("the same, stopped by EarlyStopping"),
    Run("a measurement every 5 steps", {"every_n_train_steps": 5}),
    Run("a measurement every 2 epochs, a checkpoint an epoch", {"every_n_epochs": 2}, {}, patience=1),
    Run("images resampled, validation twice an epoch", {"resample_probe": True}, {}, {"val_check_interval": 0.5}, None),
    Run("multiplicative updates, validation every 2 epochs", {"solver": "mu"}, {}, {"check_val_every_n_epoch": 2}, 3),
    Run("stopped by LabelFreeStopping", patience=2, label_free=True),
    Run("a checkpoint in the last batch of each epoch", {}, LAST_BATCH, {}, 2, kills=LATE_KILL),
    Run("the same, stopped by LabelFreeStopping", {}, LAST_BATCH, {}, 2, True, LATE_KILL),
)


def random_kills(generator: random.Random, count: int) -> list[tuple[int, str]]:
    """Draws ``count`` kills: the number of the call, and the hook."""
    places = [generator.choice(list(PLACES)) for _ in range(count)]
    return [(generator.randint(1, PLACES[place]), place) for place in places]
