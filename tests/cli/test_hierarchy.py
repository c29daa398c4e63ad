"""``factorlens hierarchy``: the untrained networks beside which the hierarchy is shown."""

import pytest
import torch
from small_lens import make_probe

from lightning_factorlens.cli.main import main
from lightning_factorlens.cli.model_source import build_untrained, load_model

MODULE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.hidden, self.act, self.head = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        return self.head(self.act(self.hidden(x.flatten(1))))
"""


@pytest.fixture
def words(tmp_path):
    """The arguments for a checkpoint of a wider network than the default, whose last layer starts from zero."""
    (tmp_path / "zero_head.py").write_text(MODULE)
    scope = {}
    exec(MODULE, scope)
    torch.manual_seed(0)
    net = scope["Net"](7)
    torch.nn.init.normal_(net.head.weight)
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": {"width": 7}}, tmp_path / "last.ckpt")
    torch.save(make_probe(24), tmp_path / "images.pt")
    data = ["--data", f"{tmp_path}/images.pt", "--outputs", "classes", "--q", "0.6"]
    return [str(tmp_path / "last.ckpt"), "--model", f"{tmp_path}/zero_head.py:Net", *data]


def test_untrained_networks_have_the_checkpoints_hyperparameters_and_follow_the_seed(words):
    before = torch.get_rng_state()
    weights = [build_untrained(words[2], {}, words[0], seed).hidden.weight for seed in (0, 0, 1)]
    assert weights[0].shape == (7, 64)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_in_place_of_a_class_is_copied_and_initialized_anew(words, tmp_path):
    with (tmp_path / "zero_head.py").open("a") as file:
        file.write("\nnet = Net(7)\n")
    path = words[2].replace(":Net", ":net")
    trained = load_model(path, {}, words[0])
    untrained = [build_untrained(path, {}, words[0], seed) for seed in (0, 1)]
    assert len({float(net.hidden.weight[0, 0]) for net in (trained, *untrained)}) == 3
    assert load_model(path, {}, words[0]) is not trained


def test_the_same_command_prints_the_same(words, capsys):
    outputs = []
    for _ in range(2):
        assert main(["hierarchy", *words, "--layer", "hidden"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert "3 untrained networks give" in outputs[0]


def test_a_layer_that_starts_from_zero_is_shown_without_untrained_networks(words, capsys):
    assert main(["hierarchy", *words, "--layer", "head"]) == 0
    printed = capsys.readouterr()
    assert "not compared with untrained weights" in printed.out
    assert "since all singular values of its weight are zero before training" in printed.err
