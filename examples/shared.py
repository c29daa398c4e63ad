"""What three examples have in common: a plain classifier, and a report that alone has the test labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from lightning_factorlens import FactorLensCallback, LabelFreeStopping
from lightning_factorlens.results import Observation

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
        lens: The callback whose observations are printed. Where an observation has measured the signal of the stop
            alone, because the rest takes more time, the other columns are blank.
        images: Test images, shape (n, C, H, W).
        labels: Their labels, shape (n,).
        tau: The relative error, in percent, whose required rank is printed; 50 or 30.

    Attributes:
        accuracies: Test accuracy after every epoch; the first is that of the untrained network.
        last_measured: The columns of the last line that are measured without labels.
    """

    def __init__(self, lens: FactorLensCallback, images: Tensor, labels: Tensor, tau: int = 50) -> None:
        self.lens = lens
        self.images = images
        self.labels = labels
        self.tau = tau
        self.accuracies: list[float] = []
        self.last_measured = ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the heading, and the line of the untrained network."""
        rmse = " ".join(f"rmse@{r:<3d}" for r in RANKS)
        print(f"epoch  {rmse} rank@{self.tau}%  mean α  consistency | test loss  accuracy")
        self._line(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the line of an epoch."""
        self._line(trainer, pl_module, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints what the lens has measured since: the run's last observation is made complete at the end."""
        measured = self._measured(len(self.accuracies) - 1)
        if measured != self.last_measured:
            print(f"  end  {measured} |")

    def _line(self, trainer: Trainer, model: LightningModule, epoch: int) -> None:
        loss, accuracy = test(model, self.images, self.labels)
        self.accuracies.append(accuracy)
        assert trainer.logger is not None
        trainer.logger.log_metrics({"test_loss (the demo's secret)": loss}, step=max(0, trainer.global_step - 1))
        self.last_measured = self._measured(epoch)
        print(f"{epoch:5d}  {self.last_measured} | {loss:9.4f}  {accuracy:8.1%}", flush=True)

    def _measured(self, epoch: int) -> str:
        """The columns left of the bar; blank where the epoch's observation has no such value."""
        observation = self.lens.observation
        if observation is None or observation.epoch != epoch:
            observation = Observation(epoch, step=0, records={})
        cells = []
        for r in RANKS:
            cells.append(cell(observation.value("rmse", "total", r), ".4f").ljust(8))
        required = f"rank_at_{self.tau}pct"
        rank = cell(observation.value(required, "total"), ".1f")
        if observation.value(f"{required}_is_lower_bound", "total") == 1:
            rank = f"> {rank}"
        cells.append(rank.rjust(8))
        cells.append(cell(observation.value("mean_alpha"), ".2f").rjust(7))
        cells.append(cell(observation.value("consistency"), ".4f").rjust(12))
        return " ".join(cells)


def cell(value: float | None, places: str) -> str:
    """A number as text, or nothing where there is none."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:{places}}"


def test(model: LightningModule, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Loss and accuracy of a model on test images; its training flag is put back."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(x.to(model.device)).cpu() for x in images.split(500)])
    model.train(was_training)
    loss = nn.functional.cross_entropy(outputs, labels).item()
    return loss, (outputs.argmax(1) == labels).float().mean().item()


def report_stop(trainer: Trainer, stop: LabelFreeStopping, report: Report) -> None:
    """Prints why training stopped, what the kept weights are worth, and the TensorBoard command."""
    accuracies = report.accuracies[1:]  # without the untrained network
    end = len(accuracies)
    decision = stop.decision
    reason = "no measurement yet" if decision is None else decision.reason
    if decision is not None and decision.stop:
        print(f"Stopped after epoch {end}, without labels: {stop.monitor}: {reason}.")
    else:
        print(f"No stop before max_epochs = {trainer.max_epochs} ended the run: {stop.monitor}: {reason}.")

    best = max(accuracies)
    best_epoch = accuracies.index(best) + 1
    _, accuracy = test(trainer.lightning_module, report.images, report.labels)
    print("Test accuracy, known to this report alone:")
    print(f"  {best:.1%}  best epoch ({best_epoch})")
    print(f"  {accuracies[-1]:.1%}  when training ended (epoch {end})")
    which = f"epoch {stop.best_epoch or end}"
    if stop.restore_best == "average" and stop.best_epoch is not None:
        which = f"an average up to {which}"
    print(f"  {accuracy:.1%}  with the weights that the model has now ({which})")
    assert trainer.logger is not None and trainer.logger.log_dir is not None
    print(f"To see the curves: tensorboard --logdir {Path(trainer.logger.log_dir).parent}")
