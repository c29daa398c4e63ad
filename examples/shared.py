"""What the three examples have in common: a plain classifier, and a report that alone sees the test labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor, nn

#: The ranks whose rmse the report prints.
RANKS = (1, 8, 32)


class Classifier(LightningModule):
    """Any network, cross-entropy, any optimizer; nothing in it knows of the lens."""

    def __init__(self, net: nn.Module, optimizer: Callable[..., torch.optim.Optimizer]) -> None:
        super().__init__()
        self.net, self.optimizer = net, optimizer

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes)."""
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy of one batch."""
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """The lens takes its probe from this loader's dataset and never asks for labels."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer it was given."""
        return self.optimizer(self.parameters())


class Report(Callback):
    """Prints a line an epoch: what the lens sees without labels, beside the test loss that only this report sees."""

    def __init__(self, images: Tensor, labels: Tensor, tau: int = 50) -> None:
        self.images, self.labels, self.tau = images, labels, tau
        self.loss, self.accuracy = float("nan"), float("nan")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The heading, and the line of the untrained network."""
        rmse = " ".join(f"rmse@{r:<3d}" for r in RANKS)
        print(f"epoch  {rmse} rank@{self.tau}%  mean α  consistency | test loss  accuracy")
        self._line(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line."""
        self._line(trainer, pl_module, trainer.current_epoch + 1)

    def _line(self, trainer: Trainer, model: LightningModule, epoch: int) -> None:
        m = {k.removeprefix("factorlens/"): float(v) for k, v in trainer.callback_metrics.items()}
        self.loss, self.accuracy = test(model, self.images, self.labels)
        trainer.logger.log_metrics({"test_loss (the demo's secret)": self.loss}, step=max(0, trainer.global_step - 1))
        rmse = " ".join(f"{m[f'rmse/rank_{r}']:<8.4f}" for r in RANKS)
        rank = f"{'≥' if m[f'rank_at_{self.tau}pct_capped'] else ''}{m[f'rank_at_{self.tau}pct']:.1f}"
        alpha = f"{m['mean_alpha']:.2f}" if "mean_alpha" in m else "–"
        print(
            f"{epoch:5d}  {rmse} {rank:>8s}  {alpha:>6s}  {m['consistency']:11.4f} |"
            f" {self.loss:9.4f}  {self.accuracy:8.1%}",
            flush=True,
        )


def test(model: LightningModule, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Loss and accuracy; the model's training flags are put back."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(x.to(model.device)).cpu() for x in images.split(500)])
    model.train(was_training)
    loss = nn.functional.cross_entropy(outputs, labels).item()
    return loss, (outputs.argmax(1) == labels).float().mean().item()


def say_why_it_stopped(trainer: Trainer, stop: EarlyStopping) -> None:
    """In words, and where to look."""
    if stop.stopped_epoch:
        print(
            f"Stopped after epoch {stop.stopped_epoch + 1}, without labels: {stop.monitor} has not fallen below "
            f"{float(stop.best_score):.4f} for {stop.patience} epochs."
        )
    else:
        print(
            f"No stop: {stop.monitor} fell to {float(stop.best_score):.4f} and had been without a new low for "
            f"{stop.wait_count} of {stop.patience} epochs when max_epochs = {trainer.max_epochs} ended the run."
        )
    assert trainer.logger is not None and trainer.logger.log_dir is not None
    print(f"Look at it: tensorboard --logdir {Path(trainer.logger.log_dir).parent}")
