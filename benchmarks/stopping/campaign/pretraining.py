"""The pretrained bodies of the transfer tasks, trained once and kept in a file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.stopping.campaign.networks import build
from benchmarks.stopping.campaign.sources import images
from benchmarks.stopping.campaign.task import Task
from benchmarks.stopping.networks import channels_last

IMAGES = 6000
EPOCHS = 10


def pretraining_images(folder: Path, task: Task) -> tuple[Tensor, Tensor]:
    """Images and labels of the pretraining, which share none with the task."""
    if task.pretrained == "grey":
        source = images(folder, replace(task, dataset="cifar10", pretrained=""))
        x, y = source.labeled_x.mean(1, keepdims=True), source.labeled_y
    else:
        source = images(folder, replace(task, pretrained=""))
        is_other = source.labeled_y < 5 if task.part == "development" else source.labeled_y >= 5
        x, y = source.labeled_x[is_other], source.labeled_y[is_other] % 5
    return torch.from_numpy(x[:IMAGES]), torch.from_numpy(y[:IMAGES].astype("int64"))


def pretrained_body(folder: Path, cache: Path, task: Task) -> dict[str, Tensor]:
    """State of the body, trained with Adam for ten epochs on 6,000 images.

    Args:
        folder: Folder of the data sets.
        cache: Folder of the file.
        task: Names net and pretraining.
    """
    path = cache / f"pretrained-{task.part}-{task.dataset}-{task.net}-{task.pretrained}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    x, y = pretraining_images(folder, task)
    model = build(task.net, tuple(x.shape[1:]), int(y.max()) + 1, 0.0, 999)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(999)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(y), generator=generator).split(64):
            loss = nn.functional.cross_entropy(model(channels_last(x[index])), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    state = model.body.state_dict()
    unfinished = path.with_suffix(f".{os.getpid()}")
    torch.save(state, unfinished)
    unfinished.replace(path)
    return state
