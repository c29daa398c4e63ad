"""The hierarchies of networks while they are trained: over checkpoints, and in a Trainer beside the offline calls."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.hierarchy.cases import CASES, case_images, spread, table_of
from benchmarks.networks import SEEDS, load_images, mnist_network, network_at, network_checkpoints
from benchmarks.part import Measured, interleaved_medians
from benchmarks.reporting import Figure
from lightning_factorlens import FactorLens, FactorLensCallback
from lightning_factorlens.measurements import SemanticHierarchy
from lightning_factorlens.results import LayerHierarchies, LayerHierarchy

#: Networks whose course is shown, and the layers of each.
COURSES = {"mnist_network": ("fc1", "fc2"), "cifar_cnn": ("conv2", "conv4", "fc")}
#: Images and epochs of the run in a Trainer.
RUN_IMAGES = 2000
RUN_EPOCHS = 2
PROBE = 500


def measure(data_dir: Path, quick: bool) -> Measured:
    """Measures the courses, the difference between a run and its checkpoints, and the cost."""
    sections = []
    payload: dict[str, Any] = {}
    for name, layers in COURSES.items():
        courses = [_course(name, seed, layers, data_dir) for seed in range(1 if quick else SEEDS)]
        payload[name] = [[[astuple(found) for found in record.layers] for record in course] for course in courses]
        sections.append(_section(name, layers, courses))
    difference = _difference(data_dir)
    cost = _cost(data_dir, 3 if quick else 7)
    payload["largest_difference"] = difference
    payload["forward_passes"] = cost
    text = (
        "## Training\n\n`python -m benchmarks.hierarchy --parts training`. `SemanticHierarchy` with its defaults: the "
        "classes are those that the network predicts, 2,000 test images as a probe without labels. Lowest and highest "
        "value of all seeds; in brackets the largest 95 % quantile with permuted classes.\n\n"
        + "\n\n".join(sections)
        + f"\n\nIn a Trainer, MNIST, {RUN_EPOCHS} epochs of {RUN_IMAGES} images: the largest difference between the "
        f"numbers of the run and the offline ones at the checkpoints of the same epochs is {difference:g}. An "
        "observation with this measurement alone, of all layers, takes the time of "
        f"{cost['mnist_network']:.2f} forward passes of the probe for the MNIST network and {cost['cifar_cnn']:.2f} "
        f"for the CIFAR-10 CNN ({PROBE} images): the pass whose predictions are the classes, which other measurements "
        "share, one pass of its own, and the numbers with their nulls."
    )
    return Measured(text, payload, [Figure("hierarchy_run_minus_offline", difference, 0.0, at_most=True)])


def _course(name: str, seed: int, layers: tuple[str, ...], data_dir: Path) -> list[LayerHierarchies]:
    """The record at every checkpoint."""
    images = case_images(name, data_dir)[0]
    records = []
    for checkpoint in network_checkpoints(name, seed, data_dir):
        records.append(_measure(network_at(name, checkpoint), images, layers))
    return records


def _measure(model: nn.Module, images: Tensor, layers: tuple[str, ...] | None = None) -> LayerHierarchies:
    lens = FactorLens(model, measurements=[SemanticHierarchy(layers=layers)], outputs="classes")
    record: LayerHierarchies = lens.observe(images)["semantic_hierarchy"]
    return record


def _section(name: str, layers: tuple[str, ...], courses: list[list[LayerHierarchies]]) -> str:
    header = ["epoch", "predicted classes", "layer", "class share", "nodes", "classes of vectors", "depth"]
    rows = []
    for epoch in range(len(courses[0])):
        records = [course[epoch] for course in courses]
        for layer in layers:
            found = [record[layer] for record in records]
            is_first = layer == layers[0]
            row = [str(epoch), spread([record.predicted_classes for record in records], 0)] if is_first else ["", ""]
            row += [f"`{layer}`", _cell(found, "class_share", 2)]
            row += [_cell(found, field, 0) for field in ("significant_nodes", "vector_classes", "hierarchy_depth")]
            rows.append(row)
    return f"### {CASES[name].title}, epoch by epoch\n\n" + table_of(header, rows)


def _cell(found: list[LayerHierarchy], field: str, digits: int) -> str:
    null = max(getattr(each, f"null_{field}") for each in found)
    return f"{spread([getattr(each, field) for each in found], digits)} ({null:.{digits}f})"


class _Classifier(LightningModule):
    """The MNIST network in a Trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = mnist_network(0, trained=False)

    def forward(self, x: Tensor) -> Tensor:
        """The class scores."""
        scores: Tensor = self.net(x)
        return scores

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Cross entropy."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD with momentum."""
        return torch.optim.SGD(self.parameters(), 0.05, momentum=0.9)


def _difference(data_dir: Path) -> float:
    """The largest difference between the numbers in a run and those at its checkpoints."""
    images = load_images("mnist_network", data_dir)
    data = TensorDataset(images.train[:RUN_IMAGES], images.train_labels[:RUN_IMAGES])
    probe = images.test[:PROBE]
    torch.manual_seed(0)
    callback = FactorLensCallback(
        probe=probe,
        probe_size=PROBE,
        measurements=[SemanticHierarchy()],
        outputs="classes",
        max_overhead=None,
        verbose=False,
    )
    differences = []
    with tempfile.TemporaryDirectory() as folder:
        saved = ModelCheckpoint(folder, "{epoch}", save_top_k=-1, every_n_epochs=1, save_on_train_epoch_end=True)
        trainer = Trainer(
            max_epochs=RUN_EPOCHS, callbacks=[callback, saved], logger=False, accelerator="cpu", devices=1,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(_Classifier(), DataLoader(data, 50, shuffle=True))
        for epoch in range(RUN_EPOCHS):
            module = _Classifier()
            module.load_state_dict(torch.load(Path(folder, f"epoch={epoch}.ckpt"), weights_only=True)["state_dict"])
            in_run = next(each for each in callback.history if each.epoch == epoch + 1)["semantic_hierarchy"]
            offline = _measure(module.eval(), probe)
            differences += _differences(in_run, offline)
    return max(differences)


def _differences(a: LayerHierarchies, b: LayerHierarchies) -> list[float]:
    """The differences of all numbers; a layer that one of the two lacks counts as infinite."""
    values_a = {(value.quantity, value.scope): value.value for value in a.values()}
    values_b = {(value.quantity, value.scope): value.value for value in b.values()}
    if values_a.keys() != values_b.keys():
        return [float("inf")]
    return [abs(value - values_b[key]) for key, value in values_a.items() if value == value]


def _cost(data_dir: Path, repetitions: int) -> dict[str, float]:
    """The measurement's time in forward passes of the probe."""
    found = {}
    for name in COURSES:
        probe = load_images(name, data_dir).test[:PROBE]
        model = network_at(name, network_checkpoints(name, 0, data_dir)[-1])
        lens = FactorLens(model, measurements=[SemanticHierarchy()], outputs="classes")
        lens.observe(probe)
        seconds = interleaved_medians({"pass": _forward(model, probe), "lens": _observe(lens, probe)}, repetitions)
        found[name] = seconds["lens"] / seconds["pass"]
    return found


def _forward(model: nn.Module, probe: Tensor) -> Callable[[], Any]:
    @torch.no_grad()
    def forward() -> None:
        for part in probe.split(64):
            model(part)

    return forward


def _observe(lens: FactorLens, probe: Tensor) -> Callable[[], Any]:
    return lambda: lens.observe(probe)
