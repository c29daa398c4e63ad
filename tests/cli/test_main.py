"""The command line on real checkpoints: what it prints, and how it says what is wrong."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from small_lens import make_probe

from lightning_factorlens import FactorLens, read_jsonl
from lightning_factorlens.cli.data_source import Preprocessing, load_samples
from lightning_factorlens.cli.main import main
from lightning_factorlens.results.serialization import to_json

MODULE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(1, width, 3), nn.ReLU()
        self.hidden, self.act, self.head = nn.Linear(36 * width, 16), nn.ReLU(), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.act(self.hidden(self.relu(self.conv(x)).flatten(1))))

def around(**words):
    return Net(**words)

def broken():
    raise RuntimeError("no weights today")
"""


@pytest.fixture
def files(tmp_path):
    """A module, a checkpoint as Lightning writes it, and samples."""
    (tmp_path / "net_module.py").write_text(MODULE)
    scope = {}
    exec(MODULE, scope)
    torch.manual_seed(0)
    net = scope["Net"](5).eval()
    weights = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": {"width": 5, "lr": 0.1}}, tmp_path / "last.ckpt")
    np.savez(tmp_path / "images.npz", images=make_probe(24).numpy())
    return tmp_path, net


def run(files, command, *words, data=True, checkpoint="last.ckpt", model="net_module.py:Net"):
    folder = files[0]
    arguments = [command, str(folder / checkpoint), "--model", f"{folder}/{model}", *words]
    return main([*arguments, "--data", f"{folder}/images.npz"] if data else arguments)


def test_observe_gives_the_numbers_of_the_lens(files, capsys):
    expected = FactorLens(files[1], ranks=(1, 4), outputs="classes").observe(make_probe(24))
    output = files[0] / "curves.jsonl"
    assert run(files, "observe", "--ranks", "[1, 4]", "--outputs", "classes", "--json", "--output", str(output)) == 0
    found, wanted = json.loads(capsys.readouterr().out), json.loads(to_json(expected))
    for observation in (found, wanted):
        del observation["records"]["cost"]
    assert found == wanted
    assert read_jsonl(output)[0].value("rel_error", "total", 4) == expected.value("rel_error", "total", 4)


def test_hyperparameters_that_a_function_of_any_words_refuses_are_left_out(files, capsys):
    assert run(files, "spectra", "--model_args.width", "5", data=False, model="net_module.py:around") == 0
    assert "hidden" in capsys.readouterr().out


def test_every_command_prints_a_table_and_json(files, capsys):
    picture = files[0] / "concepts.png"
    assert run(files, "spectra", data=False) == 0
    assert "hidden" in capsys.readouterr().out
    assert run(files, "spectra", "--json", data=False) == 0
    assert [row["layer"] for row in json.loads(capsys.readouterr().out)] == ["conv", "hidden", "head"]
    assert run(files, "concepts", "--rank", "2", "--json", "--output", str(picture)) == 0
    assert sorted(row["concept"] for row in json.loads(capsys.readouterr().out)) == [0, 1]
    assert picture.stat().st_size > 1000
    for command, *words in (("hierarchy", "--layer", "hidden"), ("visualize", "--layer", "conv", "--count", "2")):
        picture = files[0] / f"{command}.png"
        assert run(files, command, *words, "--outputs", "classes", "--output", str(picture)) == 0
        assert picture.stat().st_size > 1000
    assert "untrained networks give" in capsys.readouterr().out
    assert main(["tags"]) == 0
    assert "factorlens/consistency" in capsys.readouterr().out


def test_compare_finds_a_checkpoint_equal_to_itself(files, capsys):
    checkpoint = str(files[0] / "last.ckpt")
    words = ["--model", f"{files[0]}/net_module.py:Net", "--data", f"{files[0]}/images.npz", "--rank", "2", "--json"]
    assert main(["compare", checkpoint, checkpoint, "--ranks", "[1, 4]", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["concepts_in_both"]) == 2
    assert found["values"]
    assert all(row["first"] == row["second"] for row in found["values"])


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ((), {"model": "net_module.py:Nothing"}, "--model: net_module has no 'Nothing'"),
        ((), {"model": "nothing.py:Net"}, "--model: there is no file"),
        ((), {"model": "net_module.py:broken"}, "cannot be built .RuntimeError: no weights today"),
        (("--model_args.width", "7"), {}, "are not those of the model: .* of another shape .first 'conv.weight'"),
        ((), {"checkpoint": "other.ckpt"}, "checkpoint: there is no file"),
        ((), {"checkpoint": "net_module.py"}, "cannot be read with weights_only=True"),
        (("--ranks", "[99]"), {}, "rank 99 needs at least 99 samples, found 24"),
        (("--ranks", "[0]"), {}, "ranks: "),
        (("--layers", "[nothing]"), {}, "layers: 'nothing' matches nothing"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_with_exit_code_2(files, capsys, words, options, message):
    assert run(files, "observe", *words, **options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error


@pytest.mark.parametrize("data", ["nothing.npz", "labels.npz", "nothing", "torchvision:MNIST", "torch.nn.Identity"])
def test_wrong_data_are_named(files, capsys, data):
    np.savez(files[0] / "labels.npz", y=np.arange(3))
    path = data if ":" in data or data.startswith("torch.") else str(files[0] / data)
    assert main(["observe", "--model", f"{files[0]}/net_module.py:Net", "--data", path]) == 2
    assert capsys.readouterr().err.startswith("factorlens: --")


def test_a_folder_of_images_is_read_without_labels(files, capsys):
    folder = files[0] / "photos" / "cats"
    folder.mkdir(parents=True)
    for number in range(9):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    words = ["--data", str(folder.parent), "--size", "8", "--mean", "[0.5]", "--std", "[0.5]", "--ranks", "[1]"]
    assert (
        main(["observe", "--model", "torchvision.models.squeezenet1_1", *words]) == 2
    )  # images of 8 × 8 are too small
    words[3] = "64"
    assert main(["observe", "--model", "torchvision.models.squeezenet1_1", *words, "--json"]) == 0
    assert "reconstruction_error" in json.loads(capsys.readouterr().out)["records"]


def test_the_test_images_of_a_file_are_taken_before_its_training_images(tmp_path):
    x = np.zeros((4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "cifar10.npz", train_x=x, train_y=np.zeros(4), test_x=x[:2], test_y=np.zeros(2))
    assert load_samples(str(tmp_path / "cifar10.npz"), Preprocessing()).shape == (2, 3, 8, 8)
