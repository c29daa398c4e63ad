"""The command report: runs, checkpoints, and what it says where it cannot make one."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from observations import make_observation
from PIL import Image
from small_lens import make_probe

from lightning_factorlens import FactorLens, write_jsonl
from lightning_factorlens.cli.main import main
from lightning_factorlens.results import History

MODULE = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 8), nn.ReLU(), nn.Linear(8, 3))
"""


@pytest.fixture
def folder(tmp_path):
    """A run, a module, samples, and checkpoints with and without the run's history."""
    history = [make_observation(epoch, consistency=2 / epoch) for epoch in range(1, 4)]
    (tmp_path / "runs").mkdir()
    write_jsonl(history, tmp_path / "runs" / "curves.jsonl")
    (tmp_path / "net_module.py").write_text(MODULE)
    scope = {}
    exec(MODULE, scope)
    torch.manual_seed(0)
    weights = scope["Net"]().state_dict()
    torch.save(weights, tmp_path / "net.pt")
    states = {"FactorLensCallback": {"history": History(history).state_dict()}}
    torch.save({"state_dict": weights, "epoch": 2, "global_step": 300, "callbacks": states}, tmp_path / "last.ckpt")
    (tmp_path / "broken.ckpt").write_bytes(b"PK\x03\x04broken")
    np.savez(tmp_path / "images.npz", images=make_probe(24).numpy())
    return tmp_path


def report(folder, *words):
    """Runs the command in a folder; words that are files there get its path."""
    arguments = [str(folder / word) if (folder / word.split(":")[0]).exists() else word for word in words]
    return main(["report", *arguments, "--output", str(folder / "page.html")])


def test_a_run_and_the_checkpoint_that_holds_it_say_the_same(folder, capsys):
    said = []
    for source in ("runs", "last.ckpt"):
        assert report(folder, source, "--json") == 0
        said.append(json.loads(capsys.readouterr().out)["subjects"][0])
    assert said[0]["findings"] == said[1]["findings"]
    assert said[0]["values"] == said[1]["values"]
    assert [found["name"] for found in said] == ["runs", "last"]
    assert report(folder, "runs") == 0
    assert re.search(r"When to stop\? not yet: .*\nReport: .*page.html \(0\.\d MB\)", capsys.readouterr().out)


def test_a_checkpoint_is_observed_and_has_the_course_of_its_run(folder, capsys):
    words = ["--model", "net_module.py:Net", "--data", "images.npz", "--outputs", "classes", "--ranks", "[1,4]"]
    assert report(folder, "last.ckpt", *words, "--pictures", "0", "--rank", "2", "--json") == 0
    (run,) = json.loads(capsys.readouterr().out)["subjects"]
    assert (run["name"], run["observations"], run["values"]["factorlens/consistency"]) == ("last", 3, 2 / 3)
    page = (folder / "page.html").read_text()
    for anchor in ("rank-curves", "alpha", "concepts", "hierarchy", "cost"):
        section = page.split(f'id="{anchor}">')[1].split("</section>")[0]
        assert "Nothing of this kind" not in section, anchor


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing",), "there is no file or folder 'nothing'"),
        (("nothing.ckpt",), "checkpoint: there is no file 'nothing.ckpt'"),
        (("broken.ckpt",), "cannot be read with weights_only=True"),
        (("net.pt",), "holds no history of a FactorLensCallback; give --model and --data"),
        (("net.pt", "--model", "net_module.py:Net"), "--data: a checkpoint is observed with --model and --data"),
        (("net.pt", "--data", "images.npz"), "--model: a checkpoint is observed with --model and --data"),
        (
            ("net.pt", "--model", "net_module.py:Nothing", "--data", "images.npz"),
            "--model: net_module has no 'Nothing'",
        ),
        (("images.npz",), "checkpoint: .* cannot be read"),
        (("runs/curves.jsonl", "net_module.py"), "checkpoint: .* cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_exit_code_2(folder, capsys, words, message):
    assert report(folder, *words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (folder / "page.html").exists()


def test_a_page_that_cannot_be_made_or_written_is_named(folder, capsys, monkeypatch):
    assert main(["report", str(folder / "runs"), "--output", str(folder)]) == 2
    assert "is a folder; give the name of a file" in capsys.readouterr().err
    assert main(["report", str(folder / "runs"), "--output", str(folder / "net.pt" / "page.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["report", str(folder / "runs")]) == 2
    assert "a report needs jinja2: pip install 'lightning-factorlens[report]'" in capsys.readouterr().err


def test_a_record_is_not_replaced_by_the_page(folder, capsys):
    record = folder / "runs" / "curves.jsonl"
    before = record.read_text()
    checkpoint = folder / "last.ckpt"
    for read, output in ((record, record), (checkpoint, record), (checkpoint, checkpoint)):
        assert main(["report", str(read), "--output", str(output)]) == 2
        assert "would be replaced" in capsys.readouterr().err
    assert record.read_text() == before


def test_images_are_read_with_the_channels_that_the_model_takes(folder, capsys):
    (folder / "photos").mkdir()
    for number in range(24):
        pixels = np.full((8, 8, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    words = ["net.pt", "--model", "net_module.py:Net", "--data", "photos", "--ranks", "[1,4]", "--rank", "2"]
    assert report(folder, *words, "--pictures", "0", "--channels", "1", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["subjects"]
    assert found["setup"]["sample_shape"] == [1, 8, 8]
    assert report(folder, *words) == 2
    assert "expected input[4, 3, 8, 8] to have 1 channels" in capsys.readouterr().err
    assert report(folder, *words, "--channels", "2") == 2
    assert "--channels: must be 1 for grey or 3 for colour images, found 2." in capsys.readouterr().err


def test_runs_on_different_samples_say_so_on_the_terminal_and_in_json(folder, capsys):
    lens = FactorLens(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), ranks=(1, 2))
    for seed in (0, 1):
        (folder / str(seed)).mkdir()
        images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        write_jsonl([lens.observe(images)], folder / str(seed) / "curves.jsonl")
    assert report(folder, "0", "1") == 0
    assert "Different samples: 0: 12 samples of shape 1×8×8 (fingerprint" in capsys.readouterr().out
    assert report(folder, "0", "1", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["differences"]) == ["samples"]
