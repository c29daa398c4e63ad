"""The families of torchvision: classification, segmentation, detection and video."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import LightningModule

from benchmarks.model_families.family import TRAINING_SAMPLES, VALIDATION_SAMPLES, Family, Task, make_task
from benchmarks.model_families.reduced_models import REDUCED

#: Family, builder and side of the images, which is the smallest that the model takes or near it.
CLASSIFICATION: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("alexnet", "alexnet", 64, {}),
    ("convnext", "convnext_tiny", 32, {}),
    ("densenet", "densenet121", 32, {}),
    ("efficientnet", "efficientnet_b0", 32, {}),
    ("efficientnet_v2", "efficientnet_v2_s", 32, {}),
    ("googlenet", "googlenet", 32, {"init_weights": False}),
    ("inception", "inception_v3", 80, {"init_weights": False, "aux_logits": False}),
    ("maxvit", "maxvit_t", 32, {}),
    ("mnasnet", "mnasnet0_5", 32, {}),
    ("mobilenet_v2", "mobilenet_v2", 32, {}),
    ("mobilenet_v3", "mobilenet_v3_small", 32, {}),
    ("regnet", "regnet_y_400mf", 32, {}),
    ("resnet", "resnet18", 32, {}),
    ("resnext", "resnext50_32x4d", 32, {}),
    ("shufflenet_v2", "shufflenet_v2_x0_5", 32, {}),
    ("squeezenet", "squeezenet1_1", 32, {}),
    ("swin", "swin_t", 32, {}),
    ("swin_v2", "swin_v2_t", 32, {}),
    ("vgg", "vgg11", 32, {}),
    ("vit", "vit_b_32", 32, {"image_size": 32}),
    ("wide_resnet", "wide_resnet50_2", 32, {}),
)
SEGMENTATION = (
    ("deeplabv3", "deeplabv3_mobilenet_v3_large"),
    ("fcn", "fcn_resnet50"),
    ("lraspp", "lraspp_mobilenet_v3_large"),
)
#: The models scale images to a size of their own; a smaller one is chosen where the builder allows it.
SMALL = {"min_size": 64, "max_size": 96}
#: Untrained region networks propose very many boxes; few are kept, because each passes through the heads.
FEW_BOXES = {**SMALL, "rpn_post_nms_top_n_train": 16, "rpn_post_nms_top_n_test": 8, "box_detections_per_img": 4}
DETECTION: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("faster_rcnn", "fasterrcnn_mobilenet_v3_large_320_fpn", FEW_BOXES),
    ("fcos", "fcos_resnet50_fpn", SMALL),
    ("keypoint_rcnn", "keypointrcnn_resnet50_fpn", FEW_BOXES),
    ("mask_rcnn", "maskrcnn_resnet50_fpn", FEW_BOXES),
    ("retinanet", "retinanet_resnet50_fpn", SMALL),
    ("ssd", "ssd300_vgg16", {}),
    ("ssdlite", "ssdlite320_mobilenet_v3_large", {}),
)
#: Family, builder, frames and side of the clips.
VIDEO: tuple[tuple[str, str, int, int, dict[str, Any]], ...] = (
    ("mc3", "mc3_18", 4, 32, {}),
    ("mvit_v1", "mvit_v1_b", 4, 32, {}),
    ("mvit_v2", "mvit_v2_s", 4, 32, {}),
    ("r2plus1d", "r2plus1d_18", 4, 32, {}),
    ("r3d", "r3d_18", 4, 32, {}),
    ("s3d", "s3d", 16, 64, {}),
    ("swin3d", "swin3d_t", 4, 32, {}),
)
#: Detection models take a list of images.
LIST_OF_IMAGES = "forward_fn=lambda model, batch: model(list(batch[0]))"


def _build(builder: str, options: dict[str, Any]) -> Any:
    from torchvision.models import get_model

    if builder in REDUCED:
        return REDUCED[builder](**options)
    return get_model(builder, weights=None, **options)


def _source(builder: str, options: dict[str, Any]) -> str:
    given = ", ".join(f"{name}={value}" for name, value in options.items())
    return f"{builder}({given})" + (", reduced" if builder in REDUCED else "")


def _classification(builder: str, options: dict[str, Any], shape: tuple[int, ...]) -> Task:
    from benchmarks.model_families.vision_data import N_CLASSES, LabelledImages
    from benchmarks.model_families.vision_modules import AuxiliaryClassifier, Classifier

    module: type[Classifier] = AuxiliaryClassifier if builder == "googlenet" else Classifier
    net = _build(builder, {**options, "num_classes": N_CLASSES})
    training = LabelledImages(TRAINING_SAMPLES, shape, seed=1)
    return make_task(module(net), training, LabelledImages(VALIDATION_SAMPLES, shape, seed=2))


def _segmentation(builder: str) -> Task:
    from benchmarks.model_families.vision_data import N_CLASSES, SegmentedImages
    from benchmarks.model_families.vision_modules import Segmenter

    net = _build(builder, {"weights_backbone": None, "num_classes": N_CLASSES})
    shape = (3, 64, 64)
    training = SegmentedImages(TRAINING_SAMPLES, shape, seed=1)
    return make_task(Segmenter(net), training, SegmentedImages(VALIDATION_SAMPLES, shape, seed=2))


def _detection(builder: str, options: dict[str, Any]) -> Task:
    from benchmarks.model_families.vision_data import ImagesWithObjects, collate_objects
    from benchmarks.model_families.vision_modules import Detector

    net = _build(builder, {"weights_backbone": None, "num_classes": 2, **options})
    module: LightningModule = Detector(net)
    training = ImagesWithObjects(TRAINING_SAMPLES // 2, seed=1)
    validation = ImagesWithObjects(VALIDATION_SAMPLES, seed=2)
    return make_task(module, training, validation, batch_size=4, collate_fn=collate_objects)


def _family(task: str, name: str, model: str, make: Callable[[], Task], argument: str = "") -> Family:
    return Family(f"torchvision.{task}.{name}", model, make, ("torchvision",), argument)


def torchvision_families() -> list[Family]:
    """One family for each row of the tables above."""
    families = []
    for name, builder, side, options in CLASSIFICATION:
        make = partial(_classification, builder, options, (3, side, side))
        families.append(_family("classification", name, _source(builder, options), make))
    for name, builder in SEGMENTATION:
        families.append(_family("segmentation", name, _source(builder, {}), partial(_segmentation, builder)))
    for name, builder, options in DETECTION:
        make = partial(_detection, builder, options)
        families.append(_family("detection", name, _source(builder, options), make, LIST_OF_IMAGES))
    for name, builder, frames, side, options in VIDEO:
        make = partial(_classification, builder, options, (3, frames, side, side))
        families.append(_family("video", name, _source(builder, options), make))
    return families
