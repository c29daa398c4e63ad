"""A logger that writes to TensorBoard without lightning."""

from torch.utils.tensorboard import SummaryWriter


class PlainLogger:
    """Lightning's TensorBoardLogger in four lines."""

    def __init__(self, folder):
        self.experiment = SummaryWriter(folder)

    def log_metrics(self, metrics, step=None):
        for tag, value in metrics.items():
            self.experiment.add_scalar(tag, value, step)
