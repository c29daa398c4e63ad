"""One training run of the resume benchmark, in a process of its own that may be told to die."""

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

from lightning_factorlens import FactorLensCallback, LabelFreeStopping
from lightning_factorlens.factorization import MultiplicativeUpdates
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.stopping import Patience

BATCHES, EPOCHS = 10, 8


@dataclass(frozen=True)
class Run:
    """One way to train.

    Attributes:
        name: For the table.
        lens: Arguments of the lens.
        checkpoint: Arguments of the ModelCheckpoint.
        trainer: Arguments of the Trainer.
        patience: Of what stops training by the lens; None for nothing that does.
        label_free: Whether that is `LabelFreeStopping` with a patience rule, in place of `EarlyStopping`.
        kills: Calls and hooks to be killed at, in place of random ones.
    """

    name: str
    lens: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=lambda: {"every_n_train_steps": 7})
    trainer: dict[str, Any] = field(default_factory=dict)
    patience: int | None = 2
    label_free: bool = False
    kills: tuple[tuple[int, str], ...] = ()


class Lines(Logger):
    """One line of JSON a point, on disk before anything else happens."""

    name, version = "lines", 0

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Nobody asks for them."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Written at once, for the next moment may be the last."""
        with (self.folder / "points.jsonl").open("a") as file:
            file.writelines(json.dumps([tag, step, value]) + "\n" for tag, value in metrics.items())


class Order:
    """Batches in an order drawn from the epoch, which goes on where a checkpoint left it."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.x = torch.rand(80, 1, 8, 8, generator=g)
        self.y = (self.x.flatten(1) @ torch.randn(64, 3, generator=g)).argmax(1)
        self.epoch, self.done, self.sampler = 0, 0, self  # Lightning tells a loader's sampler the epoch

    def __len__(self) -> int:
        return BATCHES

    def __iter__(self) -> Iterator[Any]:
        order = torch.randperm(80, generator=torch.Generator().manual_seed(self.epoch)).view(BATCHES, -1)
        for rows in order[self.done :]:
            self.done = (self.done + 1) % BATCHES
            yield self.x[rows], self.y[rows]

    def set_epoch(self, epoch: int) -> None:
        """Which order to draw."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """How many batches have been served."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on behind them."""
        self.done = state["done"]


class Net(LightningModule):
    """A frozen part, BatchNorm and something to train."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Conv2d(1, 24, 3).requires_grad_(False)
        self.net = nn.Sequential(nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(24 * 16, 3)

    def forward(self, x: Any) -> Any:
        """Logits."""
        return self.head(self.net(self.frozen(x)))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Cross-entropy."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Only its hooks are wanted."""

    def configure_optimizers(self) -> Any:
        """Adam, whose state must come back."""
        return torch.optim.Adam(self.parameters(), lr=3e-3)


class Killer(Callback):
    """Dies at the n-th call of a hook.

    Args:
        kill: The call and the hook (or ``"look"``, a look of the lens); None for never.
    """

    def __init__(self, kill: tuple[int, str] | None) -> None:
        self.kill, self.calls = kill, 0
        if kill is not None and kill[1] == "look":
            observe = FactorLens.observe

            def fatal(lens: FactorLens, *args: Any, **kwargs: Any) -> Any:
                self.count()
                return observe(lens, *args, **kwargs)

            FactorLens.observe = fatal  # type: ignore[method-assign]
        elif kill is not None:
            setattr(Killer, kill[1], Killer.count)

    def count(self, *_: Any) -> None:
        """One call more."""
        self.calls += 1
        if self.kill is not None and self.calls == self.kill[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def watchers(run: Run) -> list[Callback]:
    """The lens, and what stops training by it."""
    options = dict(run.lens)
    if options.get("solver") == "mu":
        options["solver"] = MultiplicativeUpdates(max_iter=5)
    lens = FactorLensCallback(probe_size=24, ranks=(1, 2, 4), verbose=False, **options)
    callbacks: list[Callback] = [lens]
    if run.patience is not None and run.label_free:
        callbacks.append(LabelFreeStopping(rule=Patience(run.patience), mode="stop"))
    elif run.patience is not None:
        callbacks.append(EarlyStopping("factorlens/consistency", patience=run.patience, check_on_train_epoch_end=True))
    return callbacks


def train(run: Run, folder: Path, kill: tuple[int, str] | None) -> None:
    """Trains, or goes on training, in this process; dies at the given call of the given hook."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    keep = ModelCheckpoint(folder, save_last=True, **run.checkpoint)
    callbacks = [Killer(kill), keep, *watchers(run)]
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
    safely = {"weights_only": True} if "weights_only" in inspect.signature(trainer.fit).parameters else {}
    model = Net()
    trainer.fit(model, data, validation, ckpt_path=last if last.exists() else None, **safely)
    weights = hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()
    end = {"epoch": trainer.current_epoch, "step": trainer.global_step, "weights": weights}
    (folder / "end.json").write_text(json.dumps(end))
