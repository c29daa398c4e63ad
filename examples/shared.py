"""What three examples have in common: a plain classifier, and a report that alone has the test labels."""

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
    """Any network, cross-entropy and any optimizer; it has no code for the FactorLensCallback."""

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
        """Empty: the callback takes its probe from the validation dataset and uses no labels."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer that the constructor received."""
        return self.optimizer(self.parameters())


class Report(Callback):
    """Prints one line per epoch: what is measured without labels, beside the test loss, which only this report has.

    Args:
        images: Test images, shape (n, C, H, W).
        labels: Their labels, shape (n,).
        tau: The relative error, in percent, whose required rank is printed; 50 or 30.
    """

    def __init__(self, images: Tensor, labels: Tensor, tau: int = 50) -> None:
        self.images = images
        self.labels = labels
        self.tau = tau
        self.loss = float("nan")
        self.accuracy = float("nan")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the heading, and the line of the untrained network."""
        rmse = " ".join(f"rmse@{r:<3d}" for r in RANKS)
        print(f"epoch  {rmse} rank@{self.tau}%  mean α  consistency | test loss  accuracy")
        self._line(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the line of an epoch."""
        self._line(trainer, pl_module, trainer.current_epoch + 1)

    def _line(self, trainer: Trainer, model: LightningModule, epoch: int) -> None:
        metrics = {}
        for tag, value in trainer.callback_metrics.items():
            metrics[tag.removeprefix("factorlens/")] = float(value)
        self.loss, self.accuracy = test(model, self.images, self.labels)
        trainer.logger.log_metrics({"test_loss (the demo's secret)": self.loss}, step=max(0, trainer.global_step - 1))
        rmse = " ".join(f"{metrics[f'rmse/rank_{r}']:<8.4f}" for r in RANKS)
        name = f"rank_at_{self.tau}pct"
        sign = "≥" if metrics[f"{name}_is_lower_bound"] else ""
        rank = f"{sign}{metrics[name]:.1f}"
        alpha = f"{metrics['mean_alpha']:.2f}" if "mean_alpha" in metrics else "–"
        # before the first training step, nothing has shown yet that the outputs are class scores
        consistency = f"{metrics['consistency']:.4f}" if "consistency" in metrics else "–"
        print(
            f"{epoch:5d}  {rmse} {rank:>8s}  {alpha:>6s}  {consistency:>11s} | {self.loss:9.4f}  {self.accuracy:8.1%}",
            flush=True,
        )


def test(model: LightningModule, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Loss and accuracy of a model on test images; its training flag is put back."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(x.to(model.device)).cpu() for x in images.split(500)])
    model.train(was_training)
    loss = nn.functional.cross_entropy(outputs, labels).item()
    return loss, (outputs.argmax(1) == labels).float().mean().item()


def report_stop(trainer: Trainer, stop: EarlyStopping) -> None:
    """Prints why training stopped, or why it did not, and the TensorBoard command."""
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
    print(f"To see the curves: tensorboard --logdir {Path(trainer.logger.log_dir).parent}")
