"""Where the probe comes from."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_factorlens._private_api import validation_data_source
from lightning_factorlens.capture.batch import Batch, ForwardFn
from lightning_factorlens.capture.isolation import isolate_rng
from lightning_factorlens.capture.probe_batch import ProbeSource, probe_batch
from lightning_factorlens.distributed import SingleProcess


def draw_probe(
    trainer: Trainer, source: ProbeSource | None, size: int, seed: int, call: ForwardFn | None, team: SingleProcess
) -> Batch:
    """One rank draws for all: what a user's dataset serves may differ between them.

    Args:
        trainer: Its batch-transfer hooks are applied.
        source: See `probe_batch`; None for the validation dataloader's dataset.
        size: How many samples.
        seed: Of the draw.
        call: How the model is called; its method ``inputs(batch)``, if it has one, says what counts as the input.
        team: Who is to have it.

    Returns:
        The probe, on the CPU where there are several ranks, whose devices are their own. Without a call nothing but
        the inputs is kept: no label ever reaches the lens.

    Raises:
        MisconfigurationException: No source, and no validation dataloader.
        TypeError, ValueError: As `probe_batch` and `Batch.of`.
    """

    def drawn() -> Batch:
        found = validation_source(trainer) if source is None else source
        parts = probe_batch(found, size, seed, lambda batch: transfer_batch(trainer, batch))
        batch = Batch.wrap(parts, getattr(call, "inputs", None))
        batch = batch if call else Batch.wrap(batch.inputs)
        return batch.to(torch.device("cpu")) if team.world_size > 1 else batch

    return team.broadcast_object(drawn)


def validation_source(trainer: Trainer) -> Any:
    """The first validation loader, also where Lightning has not loaded it yet.

    Raises:
        MisconfigurationException: There is none.
    """
    source: Any = trainer.val_dataloaders
    if source is None:
        planned = validation_data_source(trainer)
        if planned.is_defined():
            with isolate_rng():  # the user's `val_dataloader` may draw a split
                source = planned.dataloader()
    if isinstance(source, (list, tuple, dict)):
        source = next(iter(source.values() if isinstance(source, dict) else source), None)
    if source is None:
        raise MisconfigurationException(
            "FactorLensCallback: found no validation dataloader to take unlabeled images from; "
            "pass `probe=` a tensor of images, a dataset or a DataLoader."
        )
    return source


def transfer_batch(trainer: Trainer, batch: Any) -> Any:
    """A collated batch after the user's batch-transfer hooks, on the model's device."""
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
