"""The tasks on which signals are invented and rules are tuned: (regime, name, epochs, further fields)."""

from __future__ import annotations

from typing import Any

SGD: dict[str, Any] = {"optimizer": "sgd", "rate": 0.05}
PLATEAU: dict[str, Any] = {"schedule": "step", "drops": (150,)}
ADAMW: dict[str, Any] = {"optimizer": "adamw", "weight_decay": 0.05}
ROWS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("plateau", "mnist-cnn8-500-plateau", 180, {**SGD, **PLATEAU, "rate": 0.01, "batch": 32}),
    ("plateau", "cifar10-cnn16-2000-augment-dropout-adamw-plateau", 180,
     {**ADAMW, **PLATEAU, "augment": True, "dropout": 0.5, "healthy": True}),
    ("annealed noise", "mnist-resnet8-1000-noise40-sgd-cosine", 50, {**SGD, "noise": 0.4, "schedule": "cosine"}),
    ("restarts", "cifar10-cnn16-1000-sgd-restarts", 80,
     {**SGD, "rate": 0.02, "schedule": "restarts", "cycles": (20, 20, 20, 20)}),
    ("one-cycle", "mnist-cnn8-1000-noise40-onecycle", 50, {"noise": 0.4, "schedule": "onecycle", "rate": 5e-3}),
    ("transfer", "cifar10-cnn16-500-transfer", 50, {"pretrained": "classes", "batch": 32}),
    ("smoothing", "cifar10-cnn16-1000-smoothing", 60, {"smoothing": 0.1}),
    ("vit", "mnist-vit-1000-noise20-adamw-warmup-cosine", 50, {**ADAMW, "noise": 0.2, "schedule": "warmup_cosine"}),
    ("multi-label", "pairs-cnn16-800", 50, {}),
    ("table", "digits-mlp-400-noise20", 80, {"noise": 0.2, "batch": 32}),
    ("plateau", "cifar10-resnet8-600-sgd-plateau", 180, {**SGD, **PLATEAU}),
    ("mix-up", "cifar10-resnet8-1000-mixup-augment-sgd-cosine", 60,
     {**SGD, "mixup": 0.4, "augment": True, "schedule": "cosine", "weight_decay": 5e-4, "healthy": True}),
    ("other probe", "mnist-cnn16-1000-noise40-rotated", 50, {"noise": 0.4, "probe": "rotated"}),
    ("AdamW", "cifar10-cnn16-2000-adamw", 50, {**ADAMW, "weight_decay": 0.5}),
    ("segmentation", "clutter-fcn-300", 60, {"batch": 32, "rate": 3e-3}),
    ("sequence", "waves-conv1d-600-noise30", 80, {"noise": 0.3, "rate": 3e-3}),
    ("more data", "mnist-cnn8-20000-noise20", 20, {"noise": 0.2}),
    ("restarts", "mnist-cnn16-1000-noise20-restarts", 60, {"noise": 0.2, "schedule": "restarts", "cycles": (20, 40)}),
    ("transfer", "cifar10-cnn16-500-transfer-noise30-cosine", 50,
     {"pretrained": "classes", "noise": 0.3, "schedule": "cosine", "batch": 32}),
    ("one-cycle", "cifar10-resnet8-1000-augment-sgd-onecycle", 50,
     {**SGD, "rate": 0.1, "augment": True, "schedule": "onecycle", "weight_decay": 5e-4, "healthy": True}),
    ("other probe", "cifar10-cnn16-1000-noisy", 50, {"probe": "noisy"}),
    ("imbalance", "mnist-cnn16-1000-imbalanced", 60, {"imbalance": 50.0}),
    ("large net", "cifar10-cnn48-1000", 35, {}),
    ("table", "mixture-mlp-1000-noise40-cosine", 80, {"noise": 0.4, "schedule": "cosine"}),
    ("sequence", "markov-tokens-600", 60, {}),
    ("plateau", "mnist-resnet8-500-noise20-augment-sgd-plateau", 180,
     {**SGD, **PLATEAU, "noise": 0.2, "augment": True, "weight_decay": 5e-4}),
)  # fmt: skip
