"""Reduced models of the families of torchvision whose smallest model is too large for a quick trial.

The builders of these families fix the size of the images or clips: 224 × 224 pixels, 16 frames, 300 × 300 pixels. The
models here are made of the same classes, with the options of the builder but fewer and narrower blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn


def reduced_maxvit(num_classes: int) -> nn.Module:
    """A MaxViT of two blocks, for images of 32 × 32 pixels."""
    from torchvision.models import MaxVit

    return MaxVit(
        input_size=(32, 32),
        stem_channels=16,
        partition_size=2,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=16,
        stochastic_depth_prob=0.2,
        num_classes=num_classes,
    )


def reduced_mvit(second_version: bool, num_classes: int) -> nn.Module:
    """A multiscale vision transformer of three blocks, for 4 frames of 32 × 32 pixels.

    Args:
        second_version: Whether it has the options of ``mvit_v2_s``, and not those of ``mvit_v1_b``.
        num_classes: Number of classes.
    """
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    kernel = [3, 3, 3]
    stride = [1, 1, 1]
    halving = [1, 2, 2]
    blocks = [
        MSBlockConfig(1, 16, 16, kernel, kernel, stride, halving),
        MSBlockConfig(2, 16, 32, kernel, kernel, halving, stride),
        MSBlockConfig(2, 32, 32, kernel, kernel, stride, stride),
    ]
    return MViT(
        spatial_size=(32, 32),
        temporal_size=4,
        block_setting=blocks,
        residual_pool=second_version,
        residual_with_cls_embed=False,
        rel_pos_embed=second_version,
        proj_after_attn=second_version,
        stochastic_depth_prob=0.2,
        num_classes=num_classes,
    )


def reduced_ssd(num_classes: int, weights_backbone: None = None) -> nn.Module:
    """A single-shot detector on two feature maps of a VGG-11, which scales images to 64 × 64 pixels.

    Args:
        num_classes: Number of classes, the background included.
        weights_backbone: None: the backbone has random weights.
    """
    from torchvision.models import vgg11
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.ssd import SSD
    from torchvision.models.feature_extraction import create_feature_extractor

    features = vgg11(weights=weights_backbone).features
    backbone = create_feature_extractor(features, {"9": "middle", "19": "last"})
    return SSD(backbone, DefaultBoxGenerator([[2], [2, 3]]), (64, 64), num_classes)


def reduced_s3d(num_classes: int) -> nn.Module:
    """A separable 3D network whose last pooling fits clips of 16 frames of 64 × 64 pixels.

    Its own pooling of 7 × 7 pixels needs 224 × 224.
    """
    from torchvision.models.video import s3d

    net = s3d(weights=None, num_classes=num_classes)
    net.avgpool = nn.AvgPool3d(kernel_size=2, stride=1)
    return net


#: The reduced model by the builder that it replaces.
REDUCED: dict[str, Callable[..., nn.Module]] = {
    "maxvit_t": reduced_maxvit,
    "mvit_v1_b": partial(reduced_mvit, False),
    "mvit_v2_s": partial(reduced_mvit, True),
    "s3d": reduced_s3d,
    "ssd300_vgg16": reduced_ssd,
}
