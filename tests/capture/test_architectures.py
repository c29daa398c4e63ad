"""The automatic selection on widely used architectures: a few layers, one for each block, under stable names."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision import models

from lightning_factorlens import FactorLens, LensOptions, default_measurements
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.isolation.isolation import isolate_model
from lightning_factorlens.loggers.tags import tagged_values


def vgg16_bn():  # without its classifier of 4096 units, which takes seconds to initialise
    net = models.VGG(models.vgg.make_layers(models.vgg.cfgs["D"], batch_norm=True), init_weights=False)
    net.classifier = nn.Sequential(nn.Linear(512 * 49, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10))
    return net


def vit():
    return models.VisionTransformer(32, 8, num_layers=10, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10)


#: Builder, pixels, number of layers that must be selected.
TORCHVISION = {
    "resnet18": (models.resnet18, 64, 9),  # stem, 8 blocks
    "resnet50": (models.resnet50, 64, 17),  # stem, 16 blocks
    "resnet152": (models.resnet152, 64, 17),  # every third of stem and 50 blocks
    "alexnet": (models.alexnet, 64, 7),
    "vgg16_bn": (vgg16_bn, 64, 15),
    "densenet121": (models.densenet121, 64, 9),  # stem, 4 dense blocks, 3 transitions, the last one
    "mobilenet_v2": (models.mobilenet_v2, 64, 19),  # stem, 17 blocks, head
    "mobilenet_v3_small": (models.mobilenet_v3_small, 64, 14),
    "efficientnet_b0": (models.efficientnet_b0, 64, 9),  # 9 stages
    "convnext_tiny": (models.convnext_tiny, 64, 18),  # 18 blocks
    "vit": (vit, 32, 10),  # 10 blocks
    "swin_t": (models.swin_t, 64, 12),  # 12 blocks
    "googlenet": (lambda: models.googlenet(init_weights=False), 64, 12),  # 3 convolutions, 9 inceptions
    "squeezenet1_1": (models.squeezenet1_1, 64, 10),
    "shufflenet_v2_x0_5": (models.shufflenet_v2_x0_5, 64, 18),
    "regnet_y_400mf": (models.regnet_y_400mf, 64, 17),
}
TIMM = {
    "resnet18": (64, {}, 9),
    "vit_tiny_patch16_224": (32, {"img_size": 32}, 12),
    "convnext_atto": (64, {}, 12),
    "efficientnet_lite0": (64, {}, 9),
    "mobilenetv3_small_050": (64, {}, 8),
    "mixer_s32_224": (64, {"img_size": 64}, 8),
}


def table(model, pixels, layers=None):
    with isolate_model(model):
        return select_layers(trace_layers(model, model, torch.rand(2, 3, pixels, pixels)), layers)


def selected_names(rows):
    return [row.name for row in rows if row.selected]


def check(model, pixels, count):
    rows = table(model, pixels)
    names = selected_names(rows)
    assert len({row.name for row in rows}) == len(rows)
    assert selected_names(table(model, pixels)) == names
    assert len(names) == count, names
    assert not any("scale_activation" in n or ".gate" in n or "fc1" in n for n in names)
    skipped = [row for row in rows if not row.selected]
    assert all(row.reason for row in skipped)


@pytest.mark.parametrize("family", TORCHVISION)
def test_torchvision(family):
    build, pixels, count = TORCHVISION[family]
    torch.manual_seed(0)
    check(build(), pixels, count)


@pytest.mark.parametrize("family", TIMM)
def test_timm(family):
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install timm")
    pixels, options, count = TIMM[family]
    torch.manual_seed(0)
    check(timm.create_model(family, num_classes=10, **options), pixels, count)


def test_a_block_is_represented_by_its_last_activation():
    names = selected_names(table(models.resnet18(), 64))
    assert names == ["relu", *(f"layer{k}.{i}.relu-2" for k in (1, 2, 3, 4) for i in (0, 1))]
    names = selected_names(table(models.densenet121(), 64))
    assert names[:3] == ["features.relu0", "features.denseblock1.denselayer6.relu2", "features.transition1.relu"]
    assert names[-1] == "F.relu"
    assert selected_names(table(models.mobilenet_v2(), 64))[:2] == ["features.0.2", "features.1.conv.0.2"]


def test_the_reason_names_the_layer_that_represents_another():
    reasons = {row.name: row.reason for row in table(models.resnet18(), 64)}
    assert reasons["layer1.0.relu"] == "represented by layer1.0.relu-2"
    reasons = {row.name: row.reason for row in table(models.efficientnet_b0(), 64)}
    assert reasons["features.1.0.block.1.scale_activation"].startswith("channel scale: one value for each channel")


SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
import test_architectures as t
torch.manual_seed(1)
print(json.dumps({f: t.selected_names(t.table(t.TORCHVISION[f][0](), t.TORCHVISION[f][1])) for f in sys.argv[2:]}))
"""


@pytest.mark.slow
def test_names_are_the_same_in_another_process_and_with_other_weights():
    families = ["resnet18", "densenet121", "mobilenet_v3_small"]
    command = [sys.executable, "-c", SCRIPT, __file__.rpartition("/")[0], *families]
    other_process = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    torch.manual_seed(0)
    assert other_process == {f: selected_names(table(TORCHVISION[f][0](), TORCHVISION[f][1])) for f in families}


def test_a_densenet_gives_fewer_than_300_curves():
    torch.manual_seed(0)
    measurements = [m for m in default_measurements() if m.name != "weight_spectra"]
    lens = FactorLens(models.densenet121(num_classes=5), LensOptions(ranks=(1, 2, 4)), measurements, outputs="classes")
    observation = lens.observe(torch.rand(8, 3, 32, 32))
    assert len(list(tagged_values(observation, measurements))) < 300  # 121 layers would bring 1,700


def test_errors_of_ambiguous_and_empty_selections_list_the_names():
    model = models.resnet18()
    with pytest.raises(
        ValueError, match=r"'layer1.0.relu' is ambiguous.*2 times: layer1.0.relu, layer1.0.relu-2.*'layer1"
    ):
        table(model, 32, "layer1.0.relu")
    with pytest.raises(
        ValueError, match=r"'features\.\*' matches nothing; there are: conv1, bn1, relu, .*and \d+ more"
    ):
        table(model, 32, "features.*")
    assert selected_names(table(model, 32, ["layer1.0.relu", "layer1.0.relu-2"])) == [
        "layer1.0.relu",
        "layer1.0.relu-2",
    ]
    assert selected_names(table(model, 32, "layer1.0.relu*")) == ["layer1.0.relu", "layer1.0.relu-2"]
    assert selected_names(table(model, 32, "re:^layer1.0.relu$")) == ["layer1.0.relu"]
