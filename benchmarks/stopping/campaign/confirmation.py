"""The tasks on which the frozen rules are reported once: (regime, name, epochs, further fields)."""

from __future__ import annotations

from typing import Any

SGD: dict[str, Any] = {"optimizer": "sgd", "rate": 0.05}
LONG: dict[str, Any] = {"schedule": "step", "drops": (160,)}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05}
#: SGD with the weight decay and the augmentation that are usual for images.
USUAL: dict[str, Any] = {**SGD, "augment": True, "weight_decay": 5e-4}
ROWS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("plateau", "cifar10-resnet8-1000-augment-sgd-plateau", 190, {**USUAL, **LONG, "healthy": True}),
    ("plateau", "mnist-cnn16-800-sgd-plateau", 190, {**SGD, **LONG}),
    ("restarts", "cifar10-cnn24-1500-restarts-doubling", 70, {"schedule": "restarts", "cycles": (10, 20, 40)}),
    ("annealed noise", "cifar10-cnn16-1000-noise20-cosine", 50, {"noise": 0.2, "schedule": "cosine"}),
    ("plateau", "cifar10-cnn16-800-augment-sgd-plateau", 190, {**USUAL, **LONG, "rate": 0.02, "healthy": True}),
    ("plateau", "cifar10-cnn8-1000-plateau", 190, {**LONG}),
    ("one-cycle", "mnist-cnn16-1000-noise30-onecycle", 45, {"noise": 0.3, "schedule": "onecycle", "rate": 5e-3}),
    ("transfer", "cifar10-resnet8-500-transfer-sgd-cosine", 45,
     {**SGD, "rate": 0.02, "pretrained": "classes", "schedule": "cosine", "batch": 32}),
    ("plateau", "mnist-resnet8-800-augment-sgd-plateau", 190, {**USUAL, **LONG, "healthy": True}),
    ("plateau", "cifar10-resnet8-800-noise20-augment-sgd-plateau", 190, {**USUAL, **LONG, "noise": 0.2}),
    ("AdamW", "cifar10-resnet18-1000-adamw-cosine", 40, {**ADAMW, "schedule": "cosine"}),
    ("smoothing", "cifar10-cnn24-1000-noise20-smoothing", 45, {"noise": 0.2, "smoothing": 0.1}),
    ("plateau", "mnist-mlp-1000-augment-sgd-plateau", 200, {**USUAL, **LONG, "healthy": True}),
    ("plateau", "cifar10-cnn24-1000-augment-dropout-plateau", 190,
     {**LONG, "augment": True, "dropout": 0.3, "healthy": True}),
    ("vit", "cifar10-vit-1000-augment-adamw-warmup-cosine", 60,
     {**ADAMW, "augment": True, "schedule": "warmup_cosine", "healthy": True}),
    ("mix-up", "cifar10-cnn16-1000-mixup", 60, {"mixup": 1.0}),
    ("plateau", "cifar10-resnet8-800-sgd-plateau", 190, {**SGD, **LONG}),
    ("plateau", "cifar10-cnn16-1000-smoothing-augment-plateau", 190,
     {**LONG, "smoothing": 0.1, "augment": True, "healthy": True}),
    ("more data", "cifar10-cnn16-20000-augment-cosine", 15, {"augment": True, "schedule": "cosine", "healthy": True}),
    ("imbalance", "mnist-cnn16-1000-noise20-imbalanced", 50, {"noise": 0.2, "imbalance": 20.0}),
    ("plateau", "mnist-vit-500-augment-adamw-plateau", 180, {**ADAMW, **LONG, "augment": True, "healthy": True}),
    ("plateau", "mnist-cnn8-500-noise20-plateau", 190, {**LONG, "noise": 0.2}),
    ("plateau", "cifar10-resnet8-600-mixup-sgd-plateau", 180, {**SGD, **LONG, "mixup": 0.4}),
    ("multi-label", "pairs-cnn16-800-noise20-cosine", 45, {"noise": 0.2, "schedule": "cosine"}),
    ("segmentation", "clutter-fcn-300-noise20-cosine", 50, {"noise": 0.2, "batch": 32, "rate": 3e-3, "schedule": "cosine"}),
    ("table", "cancer-mlp-120-noise20", 100, {"noise": 0.2, "batch": 16}),
    ("table", "teacher-mlp-1500-noise20-cosine", 60, {"noise": 0.2, "schedule": "cosine"}),
    ("sequence", "rows-gru-400-noise40", 60, {"noise": 0.4, "rate": 3e-3}),
    ("sequence", "waves-gru-600", 50, {"rate": 3e-3}),
    ("annealed noise", "mnist-cnn8-1000-noise40-sgd-step", 50, {**SGD, "noise": 0.4, "schedule": "step", "drops": (25, 38)}),
    ("other probe", "cifar10-cnn24-1000-contrast", 45, {"probe": "contrast"}),
    ("restarts", "mnist-resnet8-1000-noise40-sgd-restarts", 60,
     {**SGD, "noise": 0.4, "schedule": "restarts", "cycles": (15, 15, 15, 15)}),
    ("large net", "cifar10-wide-resnet8-1000-noise20-adamw-cosine", 30, {**ADAMW, "noise": 0.2, "schedule": "cosine"}),
    ("transfer", "mnist-cnn16-300-grey-transfer", 60, {"pretrained": "grey", "batch": 32}),
    ("vit", "mnist-vit-1000-noise40-cosine", 45, {"noise": 0.4, "schedule": "cosine"}),
    ("one-cycle", "cifar10-cnn16-2000-augment-sgd-onecycle", 40,
     {**USUAL, "schedule": "onecycle", "healthy": True}),
    ("more data", "cifar10-cnn24-20000-noise20", 12, {"noise": 0.2}),
    ("imbalance", "cifar10-cnn16-1500-imbalanced-augment-cosine", 50,
     {"imbalance": 20.0, "augment": True, "schedule": "cosine", "healthy": True}),
    ("other probe", "mnist-cnn16-500-classes", 50, {"probe": "classes", "batch": 32}),
    ("other probe", "cifar10-resnet8-1000-noise20-rotated-sgd-cosine", 45,
     {**SGD, "noise": 0.2, "probe": "rotated", "schedule": "cosine"}),
    ("mix-up", "mnist-resnet8-1000-noise40-mixup-sgd-cosine", 45, {**SGD, "noise": 0.4, "mixup": 0.4, "schedule": "cosine"}),
    ("transfer", "cifar10-resnet8-500-transfer-noise40", 45, {"pretrained": "classes", "noise": 0.4, "batch": 32}),
    ("smoothing", "mnist-cnn8-500-smoothing-cosine", 50, {"smoothing": 0.1, "schedule": "cosine", "batch": 32}),
    ("table", "digits-mlp-400-noise40-adamw-onecycle", 80,
     {**ADAMW, "noise": 0.4, "schedule": "onecycle", "rate": 5e-3, "batch": 32}),
    ("sequence", "markov-tokens-600-noise10-cosine", 60, {"noise": 0.1, "schedule": "cosine"}),
    ("multi-label", "pairs-resnet8-600", 45, {}),
    ("large net", "cifar10-cnn16-1000-side32", 45, {"side": 32}),
)  # fmt: skip
