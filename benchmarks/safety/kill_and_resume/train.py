"""One training run of the kill-and-resume check, in its own process, which can be killed at a given call of a hook."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers.logger import Logger
from torch import nn

from lightning_factorlens import FactorLensCallback, LabelFreeStopping, LensOptions
from lightning_factorlens.factorization import MultiplicativeUpdates
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.stopping import Patience

BATCHES = 10
EPOCHS = 8
#: The place "a measurement of the lens" in a list of hooks.
MEASUREMENT = "measurement"


@dataclass(frozen=True)
class Run:
    """One way to train.

    Attributes:
        name: Name of the run in the table.
        lens: Arguments of `FactorLensCallback`; ``solver="mu"`` stands for multiplicative updates.
        checkpoint: Arguments of `ModelCheckpoint`.
        trainer: Arguments of the Trainer.
        patience: Patience of the callback that stops training; None if none does.
        label_free: Whether that callback is `LabelFreeStopping` with a patience rule; otherwise it is `EarlyStopping`.
        kills: Calls and hooks at which the run is killed, in place of random ones.
    """

    name: str
    lens: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=lambda: {"every_n_train_steps": 7})
    trainer: dict[str, Any] = field(default_factory=dict)
    patience: int | None = 2
    label_free: bool = False
    kills: tuple[tuple[int, str], ...] = ()


class Lines(Logger):
    """A logger that writes each point as one line of JSON, immediately."""

    name, version = "lines", 0

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Ignored."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends the points at once, because the process may be killed at any moment."""
        with (self.folder / "points.jsonl").open("a") as file:
            file.writelines(json.dumps([tag, step, value]) + "\n" for tag, value in metrics.items())


class Order:
    """A loader whose order depends on the epoch alone and that resumes at the batch that a checkpoint recorded."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.x = torch.rand(80, 1, 8, 8, generator=g)
        self.y = (self.x.flatten(1) @ torch.randn(64, 3, generator=g)).argmax(1)
        self.epoch = 0
        self.done = 0
        self.sampler = self  # Lightning calls set_epoch of the loader's sampler

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(80, generator=torch.Generator().manual_seed(self.epoch)).view(BATCHES, -1)
        for rows in order[self.done :]:
            self.done = (self.done + 1) % BATCHES
            yield self.x[rows], self.y[rows]

    def set_epoch(self, epoch: int) -> None:
        """Selects the order of the batches."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """The number of batches served in this epoch."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues after the batches that were served."""
        self.done = state["done"]


class Net(LightningModule):
    """A network with frozen weights, batch normalization and trainable weights."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(1, 24, 3).requires_grad_(False)
        self.net = nn.Sequential(nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(24 * 16, 3)

    def forward(self, x: Any) -> Any:
        """Returns the logits."""
        return self.head(self.net(self.frozen(x)))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Returns the cross-entropy."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Does nothing; validation is there for its hooks."""

    def configure_optimizers(self) -> Any:
        """Returns Adam, whose state a resumed run must restore."""
        return torch.optim.Adam(self.parameters(), lr=3e-3)


class Killer(Callback):
    """Kills its process at the n-th call of a hook.

    Args:
        kill: The number of the call and the hook (or `MEASUREMENT`, a measurement of the lens); None for never.
    """

    def __init__(self, kill: tuple[int, str] | None) -> None:
        self.kill = kill
        self.calls = 0
        if kill is not None and kill[1] == MEASUREMENT:
            begin = FactorLens.begin

            def counted(lens: FactorLens, *args: Any, **kwargs: Any) -> Any:
                self.count()
                return begin(lens, *args, **kwargs)

            FactorLens.begin = counted  # type: ignore[method-assign,assignment]
        elif kill is not None:
            setattr(Killer, kill[1], Killer.count)

    def count(self, *_: Any) -> None:
        """Counts one call, and kills the process if it is the chosen one."""
        self.calls += 1
        if self.kill is not None and self.calls == self.kill[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def lens_callbacks(run: Run) -> list[Callback]:
    """The lens, and the callback that stops training by one of its values."""
    options = {"max_overhead": None, **run.lens}  # the numbers of full observations depend on which others were full
    solver = MultiplicativeUpdates(max_iter=5) if options.pop("solver", None) == "mu" else None
    lens = FactorLensCallback(
        probe_size=24, lens=LensOptions(ranks=(1, 2, 4), solver=solver), detail="all", verbose=False, **options
    )
    callbacks: list[Callback] = [lens]
    if run.patience is not None and run.label_free:
        callbacks.append(LabelFreeStopping(rule=Patience(run.patience), mode="stop"))
    elif run.patience is not None:
        callbacks.append(EarlyStopping("factorlens/consistency", patience=run.patience, check_on_train_epoch_end=True))
    return callbacks


def train(run: Run, folder: Path, kill: tuple[int, str] | None) -> None:
    """Trains in this process, from the last checkpoint if there is one, until its end or until ``kill`` ends it."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    keep = ModelCheckpoint(folder, save_last=True, **run.checkpoint)
    callbacks = [Killer(kill), keep, *lens_callbacks(run)]
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=Lines(folder),
        callbacks=callbacks,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        **run.trainer,
    )
    data = Order()
    validation = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data.x, data.y), 16)
    last = folder / "last.ckpt"
    options: dict[str, Any] = {}
    if "weights_only" in inspect.signature(trainer.fit).parameters:  # an argument of newer versions of Lightning
        options["weights_only"] = True
    model = Net()
    trainer.fit(model, data, validation, ckpt_path=last if last.exists() else None, **options)
    weights = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()
    end = {"epoch": trainer.current_epoch, "step": trainer.global_step, "weights": weights}
    (folder / "end.json").write_text(json.dumps(end))
