"""The source of the probe in a Trainer."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens._private_api import validation_data_source
from lightning_factorlens.capture.drawn_batch import DrawnBatch
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.isolation import isolate_rng
from lightning_factorlens.capture.probe import Probe
from lightning_factorlens.capture.probe_batch import ProbeSource, probe_batch
from lightning_factorlens.distributed import SingleProcess


def draw_probe(
    trainer: Trainer,
    source: ProbeSource | None,
    size: int,
    seed: int,
    forward_fn: ForwardFn | None,
    process_group: SingleProcess,
) -> Probe:
    """Draws the probe on rank 0 and sends it to all ranks, whose datasets may return different samples.

    Args:
        trainer: Its batch-transfer hooks are applied.
        source: See `probe_batch`; None for the dataset of the validation dataloader.
        size: Number of samples.
        seed: Seed of the draw.
        forward_fn: The function that calls the model; its method ``inputs(batch)``, if it has one, selects the input.
        process_group: The ranks.

    Returns:
        The probe; on the CPU where there are several ranks, because each has its own device. Without ``forward_fn``
        only the inputs are kept, so that no label reaches the lens.

    Raises:
        MisconfigurationException: There is neither a source nor a validation dataloader.
        TypeError, ValueError: As `probe_batch` and `Probe.from_batches` raise them.
    """

    def draw() -> Probe:
        samples = validation_source(trainer) if source is None else source
        data = probe_batch(samples, size, seed, lambda batch: transfer_batch(trainer, batch))
        pick = getattr(forward_fn, "inputs", None)
        probe = Probe.from_batches([DrawnBatch(data)], size, pick, keep_data=forward_fn is not None)
        return probe.to(torch.device("cpu")) if process_group.world_size > 1 else probe

    return process_group.broadcast_object(draw)


def validation_source(trainer: Trainer) -> Any:
    """The first validation dataloader, also before Lightning has loaded it.

    Raises:
        MisconfigurationException: There is none.
    """
    source: Any = trainer.val_dataloaders
    if source is None:
        planned = validation_data_source(trainer)
        if planned.is_defined():
            with isolate_rng():  # the user's `val_dataloader` may draw a split
                source = planned.dataloader()
    if isinstance(source, dict):
        source = list(source.values())
    if isinstance(source, (list, tuple)):
        source = source[0] if source else None
    if source is None:
        raise MisconfigurationException(
            "FactorLensCallback: found no validation dataloader to take unlabeled images from; "
            "pass `probe=` a tensor of images, a dataset or a DataLoader."
        )
    return source


def transfer_batch(trainer: Trainer, batch: Any) -> Any:
    """A collated batch after the user's batch-transfer hooks, on the model's device."""
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
