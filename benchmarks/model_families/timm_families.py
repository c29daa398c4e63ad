"""Some families of timm: convolutional networks, transformers, mixers and hybrids."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.model_families.family import TRAINING_SAMPLES, VALIDATION_SAMPLES, Family, Task, make_task

#: Family, name of the model in timm, side of the images.
MODELS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("convnext", "convnext_atto", 32, {}),
    ("edgenext", "edgenext_xx_small", 64, {}),
    ("efficientnet_lite", "efficientnet_lite0", 32, {}),
    ("mixer", "mixer_s32_224", 32, {"img_size": 32}),
    ("mobilenet_v4", "mobilenetv4_conv_small", 32, {}),
    ("resnet", "resnet10t", 32, {}),
    ("swin", "swin_tiny_patch4_window7_224", 64, {"img_size": 64, "window_size": 2}),
    ("vit", "vit_tiny_patch16_224", 32, {"img_size": 32}),
)


def _make(model: str, side: int, options: dict[str, Any]) -> Task:
    import timm

    from benchmarks.model_families.vision_data import N_CLASSES, LabelledImages
    from benchmarks.model_families.vision_modules import Classifier

    net = timm.create_model(model, pretrained=False, num_classes=N_CLASSES, **options)
    shape = (3, side, side)
    training = LabelledImages(TRAINING_SAMPLES, shape, seed=1)
    return make_task(Classifier(net), training, LabelledImages(VALIDATION_SAMPLES, shape, seed=2))


def timm_families() -> list[Family]:
    """One family for each row of the table above."""
    families = []
    for name, model, side, options in MODELS:
        make = partial(_make, model, side, options)
        families.append(Family(f"timm.classification.{name}", model, make, ("timm",)))
    return families
