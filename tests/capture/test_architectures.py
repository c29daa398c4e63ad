"""The automatic choice on the families people use: a handful of layers, one a block, under names that stay."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision import models

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.capture.isolation import isolate_model
from lightning_factorlens.capture.selection import select_layers, trace_layers
from lightning_factorlens.loggers.tags import monitored_scalars, other_scalars


def vgg16_bn():  # without its 4096-wide classifier, which takes seconds to make
    net = models.VGG(models.vgg.make_layers(models.vgg.cfgs["D"], batch_norm=True), init_weights=False)
    net.classifier = nn.Sequential(nn.Linear(512 * 49, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10))
    return net


def vit():
    return models.VisionTransformer(32, 8, num_layers=10, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10)


#: Builder, pixels, layers that the choice must come to.
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


def kept(rows):
    return [row.name for row in rows if row.selected]


def check(model, pixels, count):
    rows = table(model, pixels)
    names = kept(rows)
    assert len({row.name for row in rows}) == len(rows)
    assert kept(table(model, pixels)) == names
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


def test_a_block_speaks_through_its_last_activation():
    names = kept(table(models.resnet18(), 64))
    assert names == ["relu", *(f"layer{k}.{i}.relu-2" for k in (1, 2, 3, 4) for i in (0, 1))]
    names = kept(table(models.densenet121(), 64))
    assert names[:3] == ["features.relu0", "features.denseblock1.denselayer6.relu2", "features.transition1.relu"]
    assert names[-1] == "F.relu"
    assert kept(table(models.mobilenet_v2(), 64))[:2] == ["features.0.2", "features.1.conv.0.2"]


def test_what_stands_for_what_is_said():
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
print(json.dumps({f: t.kept(t.table(t.TORCHVISION[f][0](), t.TORCHVISION[f][1])) for f in sys.argv[2:]}))
"""


def test_names_are_those_of_another_process_and_other_weights():
    families = ["resnet18", "densenet121", "mobilenet_v3_small"]
    command = [sys.executable, "-c", SCRIPT, __file__.rpartition("/")[0], *families]
    there = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    torch.manual_seed(0)
    assert there == {f: kept(table(TORCHVISION[f][0](), TORCHVISION[f][1])) for f in families}


def test_a_densenet_does_not_drown_the_board():
    torch.manual_seed(0)
    lens = FactorLens(models.densenet121(num_classes=5), LensOptions(ranks=(1, 2, 4), fit_power_law=False))
    seen = lens.observe(torch.rand(8, 3, 32, 32))
    assert len(monitored_scalars(seen) | other_scalars(seen)) < 300  # 121 layers would bring 1,700


def test_ambiguous_and_empty_selections_list_what_there_is():
    model = models.resnet18()
    with pytest.raises(
        ValueError, match=r"'layer1.0.relu' is ambiguous.*2 times: layer1.0.relu, layer1.0.relu-2.*'layer1"
    ):
        table(model, 32, "layer1.0.relu")
    with pytest.raises(
        ValueError, match=r"'features\.\*' matches nothing; there are: conv1, bn1, relu, .*and \d+ more"
    ):
        table(model, 32, "features.*")
    assert kept(table(model, 32, ["layer1.0.relu", "layer1.0.relu-2"])) == ["layer1.0.relu", "layer1.0.relu-2"]
    assert kept(table(model, 32, "layer1.0.relu*")) == ["layer1.0.relu", "layer1.0.relu-2"]
    assert kept(table(model, 32, "re:^layer1.0.relu$")) == ["layer1.0.relu"]


def test_a_choice_made_before_an_interruption_is_made_again():
    model = models.resnet18()
    with isolate_model(model):
        seen = trace_layers(model, model, torch.rand(2, 3, 32, 32))
    assert kept(select_layers(seen, previous=["relu", "layer3.0.relu"])) == ["relu", "layer3.0.relu"]
    assert kept(select_layers(seen, previous=["relu", "gone"])) == kept(select_layers(seen))
