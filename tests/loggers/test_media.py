"""One run in TensorBoard, CSV, Weights & Biases, MLflow and JSON lines at once: what each reads back is equal."""

import csv
import json
import re
import struct
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLensCallback, JSONLinesSink, LensOptions, TensorBoardOptions, read_jsonl
from lightning_factorlens.loggers.best_values import BestValues
from lightning_factorlens.loggers.media_registry import get_media_logger
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars
from lightning_factorlens.measurements import default_measurements

RANKS = (1, 2, 4)


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 32), nn.ReLU(),
            nn.Linear(32, 3),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def all_scalars(observation):
    measurements = default_measurements()
    return monitored_scalars(observation, measurements) | other_scalars(observation, measurements)


def fit(loggers, epochs=2, sinks=(), figures_every_n=5):
    torch.manual_seed(0)
    images, labels = torch.rand(32, 1, 10, 10), torch.randint(0, 3, (32,))
    callback = FactorLensCallback(
        max_overhead=None,
        probe=images[:16],
        probe_size=16,
        lens=LensOptions(ranks=RANKS),
        tensorboard=TensorBoardOptions(figures_every_n=figures_every_n),
        sinks=sinks,
        detail="all",
        on_error="raise",
    )
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=loggers, callbacks=[callback], enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(Net(), DataLoader(TensorDataset(images, labels), 8))
    return callback


@pytest.fixture
def wandb_logger(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    from lightning.pytorch.loggers import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = WandbLogger(save_dir=tmp_path, offline=True, project="test", settings={"x_disable_stats": True})
    yield logger
    logger.experiment.finish()


@pytest.fixture
def mlflow_logger(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow-skinny")
    from lightning.pytorch.loggers import MLFlowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 requires it
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return MLFlowLogger(tracking_uri=(tmp_path / "mlruns").as_uri())


def read_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("factorlens")]
    images = {tag: [e.step for e in events.Images(tag)] for tag in events.Tags()["images"]}
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in tags}, images


def read_csv(path):
    found = defaultdict(dict)
    with open(path) as file:
        for row in csv.DictReader(file):
            for tag, value in row.items():
                if tag.startswith("factorlens") and value:
                    found[tag][int(row["step"])] = float(value)
    return dict(found)


def wandb_records(path):
    """The records of an offline run's file, which is laid out as LevelDB's log: see wandb's own ``datastore``.

    After a header of 7 bytes there are blocks of 32 KiB; each holds chunks of checksum (4 bytes), length (2), kind (1)
    and data, where kind 1 is a whole record and 2, 3, 4 are the first, a middle and the last part of one. Fewer than 7
    bytes at the end of a block are padding. A record is one of wandb's own protocol buffers.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, content = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        left_in_block = 32768 - position % 32768
        if left_in_block < 7:
            position += left_in_block
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        content += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(content)
            yield record
            content = b""


def read_wandb(folder):
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found, images = defaultdict(dict), defaultdict(dict)
    for record in wandb_records(path):
        if record.WhichOneof("record_type") != "history":
            continue
        row = {tuple(item.nested_key) or (item.key,): json.loads(item.value_json) for item in record.history.item}
        for (tag, *inner), value in row.items():
            if tag.startswith("factorlens") and not inner:
                found[tag][row["trainer/global_step",]] = value
            elif inner == ["filenames"]:  # an image is a group of entries
                images[tag][row["trainer/global_step",]] = path.parent / "files" / value[0]
    return dict(found), dict(images)


def read_mlflow(logger):
    client, run = logger.experiment, logger.run_id
    tags = [tag for tag in client.get_run(run).data.metrics if tag.startswith("factorlens")]
    return {tag: {m.step: m.value for m in client.get_metric_history(run, tag)} for tag in tags}


def pixels(path):
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def test_one_run_reads_back_equal_from_all_loggers(tmp_path, wandb_logger, mlflow_logger, caplog, capsys):
    loggers = [
        TensorBoardLogger(tmp_path, name="tb", version=""), CSVLogger(tmp_path, name="csv", version=""), wandb_logger,
        mlflow_logger,
    ]  # fmt: skip
    lines = JSONLinesSink(tmp_path / "observations.jsonl")
    with caplog.at_level("INFO"):
        callback = fit(loggers, figures_every_n=2, sinks=[lines])
    wandb_logger.experiment.finish()

    truth = defaultdict(dict)
    best = BestValues(callback.measurements)
    for observation in read_jsonl(lines.path):
        for tag, value in (all_scalars(observation) | best.update(observation)).items():
            truth[tag][observation.step] = value
    assert len(truth) > 100
    assert set(map(len, truth.values())) >= {3}
    assert not any(a.startswith(f"{b}/") for a in truth for b in truth)  # MLflow's files: no tag is another's folder
    assert read_csv(tmp_path / "csv" / "metrics.csv") == truth
    wandb_scalars, wandb_images = read_wandb(tmp_path)
    assert wandb_scalars == truth
    assert read_mlflow(mlflow_logger) == truth
    tensorboard, images = read_tensorboard(tmp_path / "tb")
    assert tensorboard == {tag: {x: float(np.float32(y)) for x, y in points.items()} for tag, points in truth.items()}

    # Images: equal names at equal steps, the first observation and the last; equal pixels.
    assert {tag: list(steps) for tag, steps in wandb_images.items()} == images
    assert images["factorlens_figures/2_rank_curve"] == [0, 7]
    assert len(images) >= 5
    client, run = mlflow_logger.experiment, mlflow_logger.run_id
    stored = [f.path for f in client.list_artifacts(run, "images") if f.path.endswith(".png")]
    assert len(stored) == sum(map(len, images.values()))
    of_one = [p for p in stored if re.search("2_rank_curve[+%]step[+%]7[+%]", p)]
    assert len(of_one) == 1
    shown = pixels(wandb_images["factorlens_figures/2_rank_curve"][7])
    assert np.array_equal(pixels(client.download_artifacts(run, of_one[0])), shown)
    guide = Path(client.download_artifacts(run, "factorlens_usage/how_to_read.md"))
    assert "How to read this" in guide.read_text(encoding="utf-8")

    sentences = [r.getMessage() for r in caplog.records if "cannot show figures" in r.getMessage()]
    assert len(sentences) == 1
    assert sentences[0].startswith("FactorLens: CSVLogger cannot")
    assert len(callback.history) == 3


def test_without_any_logger_the_curves_are_in_the_history_and_in_the_file(tmp_path):
    callback = fit(False, sinks=[JSONLinesSink(tmp_path / "observations.jsonl")])
    assert [o.epoch for o in callback.history] == [0, 1, 2]
    back = read_jsonl(tmp_path / "observations.jsonl")
    assert [o["reconstruction_error"] for o in back] == [o["reconstruction_error"] for o in callback.history]
    spectra = callback.observation["weight_spectra"].layers
    assert back[-1]["weight_spectra"].layers[0].eigenvalues.equal(spectra[0].eigenvalues)
    assert callback.history[-1].inputs is None
    assert callback.observation.inputs is not None


def test_without_figures_no_sentence_about_figures_is_printed(tmp_path, caplog):
    with caplog.at_level("INFO"):
        fit(CSVLogger(tmp_path), epochs=1, figures_every_n=0)
    assert "observations in" in caplog.text
    assert "cannot show figures" not in caplog.text


def test_two_loggers_that_cannot_show_figures_are_named_in_one_sentence(tmp_path, caplog):
    with caplog.at_level("INFO"):
        fit([CSVLogger(tmp_path / "a"), CSVLogger(tmp_path / "b")], epochs=1)
    assert caplog.text.count("cannot show figures") == 1


def test_an_object_that_is_no_sink_is_refused_at_once():
    with pytest.raises(ValueError, match=r"sinks: each needs write\(observation\) and close\(\), found 'curves.jsonl'"):
        FactorLensCallback(sinks=["curves.jsonl"])


def test_a_logger_that_takes_scalars_alone_has_no_media(tmp_path):
    assert get_media_logger(CSVLogger(tmp_path)) is None


@pytest.mark.slow
def test_comet_offline(tmp_path, monkeypatch):
    """Through COMET_START_ONLINE: Lightning's ``online=False`` makes an experiment that records nothing."""
    pytest.importorskip("comet_ml", reason="comet_ml is not installed: pip install comet-ml")
    from lightning.pytorch.loggers import CometLogger

    monkeypatch.setenv("COMET_START_ONLINE", "0")
    logger = CometLogger(offline_directory=str(tmp_path), project="test", prefix="p")
    callback = fit(logger, epochs=1)
    logger.experiment.end()
    (path,) = tmp_path.glob("*.zip")
    lines = [json.loads(line) for line in zipfile.ZipFile(path).read("messages.json").decode().splitlines()]
    metrics = [line["payload"]["metric"] for line in lines if line["type"] == "metric_msg"]
    found = {(m["metricName"], m["step"]): m["metricValue"] for m in metrics if "factorlens" in m["metricName"]}
    truth = {(f"p_{tag}", o.step): v for o in callback.history for tag, v in all_scalars(o).items()}
    assert found == pytest.approx(truth)
    images = [
        line["payload"]["additional_params"] for line in lines if line["payload"].get("upload_type") == "visualization"
    ]
    assert {image["step"] for image in images} == {0, 3}
    assert all(image["figName"].startswith("p_factorlens_figures/") for image in images)
