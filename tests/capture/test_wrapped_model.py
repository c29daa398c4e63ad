"""Fabric, data parallelism and compilation change neither the names of layers nor the numbers."""

from dataclasses import replace

import pytest
import torch
from lightning.fabric import Fabric
from small_lens import make_net, make_probe
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.utils.data import TensorDataset

from lightning_factorlens import FactorLens, ForwardArgs
from lightning_factorlens.results.serialization import to_json
from lightning_factorlens.spectra import layer_spectra


def of_fabric(**options):
    fabric = Fabric(accelerator="cpu", devices=1, **options)
    return lambda net: fabric.setup(net)


@pytest.fixture
def one_process(tmp_path):
    """A process group of one process, without which DistributedDataParallel cannot be made."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def names_and_numbers(model, probe, **options):
    lens = FactorLens(model, ranks=(1, 2), outputs="classes", **options)
    observation = lens.observe(probe)
    assert lens.signals(probe).keys() == {"conv", "hidden", "head"}
    records = {name: record for name, record in observation.records.items() if name != "cost"}
    return [row.name for row in lens.layer_table], to_json(replace(observation, records=records))


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    "wrap",
    [
        of_fabric(),
        DistributedDataParallel,
        DataParallel,
        lambda net: of_fabric()(DistributedDataParallel(net)),
        lambda net: torch.compile(of_fabric()(net), backend="eager"),
    ],
    ids=["Fabric", "DistributedDataParallel", "DataParallel", "both", "compiled"],
)
def test_a_wrapped_network_has_the_names_and_numbers_of_the_network(wrap):
    plain = names_and_numbers(make_net(), make_probe())
    assert names_and_numbers(wrap(make_net()), make_probe()) == plain
    assert "conv" in plain[0]


def test_a_batch_is_read_as_without_fabric():
    batch = {"image": make_probe(), "mask": torch.rand(16)}
    for call in (ForwardArgs(["image"]), lambda model, batch: model(batch["image"])):
        found = [names_and_numbers(wrap(make_net()), batch, forward_fn=call) for wrap in (of_fabric(), lambda net: net)]
        assert found[0] == found[1]
    pairs = TensorDataset(make_probe(), torch.zeros(16))  # the network does not receive the labels
    assert names_and_numbers(of_fabric()(make_net()), pairs) == names_and_numbers(make_net(), pairs)


def test_the_network_runs_in_fabrics_precision():
    model = of_fabric(precision="bf16-true")(make_net())
    lens = FactorLens(model, ranks=(1, 2), outputs="classes")
    error = lens.observe(make_probe())["reconstruction_error"]["total"].rel_error[0]
    with pytest.raises(RuntimeError, match="dtype|type"):
        FactorLens(make_net().bfloat16(), ranks=(1,)).observe(make_probe())
    whole = FactorLens(make_net(), ranks=(1, 2), outputs="classes").observe(make_probe())
    assert error == pytest.approx(whole["reconstruction_error"]["total"].rel_error[0], rel=0.02)
    assert lens.node_health(make_probe()).layers.keys() == {"relu", "act"}
    assert next(model.parameters()).dtype == torch.bfloat16


def test_a_layer_of_the_users_may_be_called_module():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU())

        def forward(self, x):
            return self.module(x)

    lens = FactorLens(of_fabric()(Net()), ranks=(1, 2))
    lens.select_layers(make_probe())
    assert "module.2" in [row.name for row in lens.layer_table]


def test_a_part_of_a_network_may_be_fabrics():
    parts = [nn.Sequential(wrap(make_net())) for wrap in (lambda net: net, of_fabric())]
    found = []
    for model in parts:
        lens = FactorLens(model, ranks=(1, 2))
        names = [row.name for row in lens.select_layers(make_probe()) if row.selected]
        found.append((names, [spectrum.layer for spectrum in layer_spectra(model)]))
    assert found[0] == found[1]
    assert found[0][1] == ["0.conv", "0.hidden", "0.head"]


@pytest.mark.slow
def test_a_compiled_network_has_the_names_of_the_network():
    lenses = [FactorLens(model, ranks=(1, 2)) for model in (make_net(), of_fabric()(torch.compile(make_net())))]
    names = [[row.name for row in lens.select_layers(make_probe())] for lens in lenses]
    assert names[0] == names[1]
