"""A new scalar with a figure is ONE new file outside the package, and it is found everywhere."""

import csv

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from models import Classifier
from own_measurement import PeakActivation
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback, LensOptions, TensorBoardOptions, default_measurements, to_frame
from lightning_factorlens.loggers.text_reports import tag_table

TAG = "factorlens/peak_activation"
EPOCHS = 3


class Net(Classifier):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
        self.save_hyperparameters({"width": 4})

    def forward(self, x):
        return self.net(x)


def fit(folder, epochs=EPOCHS, stop_above=None, checkpoint=None):
    """A run that logs to TensorBoard and CSV, with an EarlyStopping on the new scalar."""
    torch.manual_seed(0)
    data = TensorDataset(torch.rand(32, 1, 8, 8), torch.randint(0, 3, (32,)))
    callback = FactorLensCallback(
        max_overhead=None,
        probe_size=16,
        measurements=[*default_measurements(), PeakActivation()],
        lens=LensOptions(ranks=(1, 2)),
        tensorboard=TensorBoardOptions(figures_every_n=1),
        on_error="raise",
        verbose=False,
    )
    stop = EarlyStopping(TAG, mode="min", patience=100, divergence_threshold=stop_above, check_on_train_epoch_end=True)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=[TensorBoardLogger(folder, name="tb", version=""), CSVLogger(folder, name="csv", version="")],
        callbacks=[callback, stop, ModelCheckpoint(folder / "saved", save_last=True)],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(Net(), DataLoader(data, 16), DataLoader(data, 16), ckpt_path=checkpoint)
    return callback, trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    callback, trainer = fit(folder)
    events = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    return folder, callback, trainer, events


def text(events, tag):
    return events.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


def test_it_is_in_tensorboards_scalars(run):
    _, callback, _, events = run
    points = [event.value for event in events.Scalars(TAG)]
    assert len(points) == EPOCHS + 1
    measured = [observation["peak_activation"]["peak_activation"] for observation in callback.history]
    assert points == pytest.approx(measured, rel=1e-6)
    assert [event.value for event in events.Scalars("factorlens_peaks/count")] == [1, 2, 3, 4]


def test_it_is_in_tensorboards_layout(run):
    events = run[3]
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts["largest activation"] == [r"factorlens/peak_activation$"]


def test_it_is_in_tensorboards_images(run):
    events = run[3]
    tags = [tag for tag in events.Tags()["images"] if tag.endswith("peak_activation")]
    assert len(tags) == 1
    assert len(events.Images(tags[0])) == EPOCHS + 1


def test_it_is_on_the_help_page_and_in_the_table_of_tags(run):
    guide = text(run[3], "factorlens_usage/how_to_read")
    for words in ("Largest activation that any probe image causes.", "A sudden rise", "The largest activation over"):
        assert words in guide
    assert f"`{TAG}`" in tag_table([PeakActivation()])


def test_it_is_in_the_csv_file(run):
    with open(run[0] / "csv/metrics.csv") as file:
        values = [row[TAG] for row in csv.DictReader(file) if row[TAG]]
    assert len(values) == EPOCHS + 1


def test_it_is_in_the_data_frame(run):
    frame = to_frame(run[1].history)
    values = frame[frame.quantity == "peak_activation"]
    assert list(values.epoch) == list(range(EPOCHS + 1))
    assert (values.value > 0).all()


def test_it_is_a_column_of_hparams_and_a_row_of_the_summaries(run):
    _, _, _, events = run
    assert f"`{TAG}`" in text(events, "factorlens/result")
    summary = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    assert TAG.encode() in summary


def test_early_stopping_can_monitor_it(tmp_path):
    _, trainer = fit(tmp_path, stop_above=0.0)
    assert trainer.current_epoch == 1
    assert float(trainer.callback_metrics[TAG]) > 0


def test_a_resumed_run_continues_it(run, tmp_path):
    callback, _ = fit(tmp_path, epochs=EPOCHS + 2, checkpoint=run[0] / "saved/last.ckpt")
    counts = [observation.value("n_peaks") for observation in callback.history]
    assert counts == list(range(1, EPOCHS + 4))
    assert [observation.epoch for observation in callback.history] == list(range(EPOCHS + 3))
