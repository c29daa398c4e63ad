"""`factorlens observe` on the checkpoints of a training run gives the numbers that the callback measured in it."""

import json
import sys

import numpy as np
import pytest
import torch
import training
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_factorlens import JSONLinesSink, read_jsonl
from lightning_factorlens.cli.main import main
from lightning_factorlens.results.serialization import to_json

RANKS = (1, 2, 4)


#: Values that the callback's own past enters: its clock, and moving averages over the epochs.
WITH_A_PAST = {"cost", "consistency"}
#: Values that are read from the fitted factors.
FITTED = {"reconstruction_error", "required_rank", "neuron_similarity"}


@pytest.fixture
def run(tmp_path):
    """A run of two epochs: the folder of its checkpoints and images, and what the callback measured."""
    _, validation = training.loaders()
    images = torch.stack([sample[0] for sample in validation.dataset])
    np.savez(tmp_path / "images.npz", images=images.numpy())
    module = training.Net()
    torch.save({"state_dict": module.state_dict()}, tmp_path / "start.ckpt")
    lens = training.lens(
        probe=images, probe_size=len(images), ranks=RANKS, sinks=[JSONLinesSink(tmp_path / "run.jsonl")]
    )
    last = ModelCheckpoint(dirpath=tmp_path, filename="last")
    training.train(tmp_path, lens, last, epochs=2, module=module, enable_checkpointing=True)
    return tmp_path, read_jsonl(tmp_path / "run.jsonl")


def records(observation):
    """The records of an observation but for those that have a past, as JSON reads them."""
    found = json.loads(to_json(observation))["records"]
    return {name: record for name, record in found.items() if name not in WITH_A_PAST}


def numbers(record):
    """All numbers of a record, in their order."""
    if isinstance(record, dict):
        record = list(record.values())
    if isinstance(record, list):
        return [number for part in record for number in numbers(part)]
    return [record] if isinstance(record, int | float) else []


def observe(folder, checkpoint):
    """The observation that the command makes of a checkpoint."""
    output = str(folder / "observed.jsonl")
    words = ["--model", "training.Net", "--data", str(folder / "images.npz"), "--ranks", str(list(RANKS))]
    assert main(["observe", str(folder / checkpoint), *words, "--outputs", "classes", "--output", output]) == 0
    return read_jsonl(output)[-1]


def test_observe_gives_the_callbacks_numbers_for_the_same_weights_and_probe(run):
    folder, measured = run
    assert records(observe(folder, "start.ckpt")) == records(measured[0])
    # After an epoch the callback starts its fit from the last one's factors: another way to the same minimum.
    observed = observe(folder, "last.ckpt")
    for name, record in records(measured[-1]).items():
        if name not in FITTED:
            assert numbers(records(observed)[name]) == pytest.approx(numbers(record), rel=1e-5, nan_ok=True), name
    for rank in RANKS:
        error = observed.value("rel_error", "total", rank)
        assert error == pytest.approx(measured[-1].value("rel_error", "total", rank), rel=0.01)


def test_without_its_extra_the_command_line_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    assert main(["tags"]) == 2
    assert "pip install 'lightning-factorlens[cli]'" in capsys.readouterr().err
