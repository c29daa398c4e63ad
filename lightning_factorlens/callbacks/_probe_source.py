"""The source of the probe in a Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_factorlens._private_api.trainer import before_batch_transfer, validation_data_source
from lightning_factorlens.batches.batch_objects import move
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.callbacks._module_forward import ModuleForward, suppress_logging
from lightning_factorlens.callbacks._progress import DrawProgress
from lightning_factorlens.callbacks._validation_stage import validation_stage
from lightning_factorlens.capture.keyword_forward import KeywordForward, dictionary_of, trial_samples
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.isolation.isolation import isolate_model, isolate_rng
from lightning_factorlens.isolation.python_state import PythonState
from lightning_factorlens.sampling.probe_batch import ProbeSource, draw_batches
from lightning_factorlens.sampling.probe_source import FinishedBatches
from lightning_factorlens.sampling.seeding import seed_cpu

#: Hooks of a module or a data module through which every batch passes.
TRANSFER_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
#: Largest size of the tensors and arrays of a datamodule that are restored; larger ones are the data themselves.
MAX_STATE_BYTES = 2**20


def draw_probe(
    trainer: Trainer,
    source: ProbeSource | None,
    size: int,
    seed: int,
    forward: ModuleForward,
    process_group: SingleProcess,
    verbose: bool = True,
) -> Probe:
    """Draws the probe on rank 0 and sends it to all ranks, whose datasets may return different samples.

    Args:
        trainer: Its batch-transfer hooks are applied.
        source: See `draw_batches`; None for the first validation dataloader.
        size: Number of samples.
        seed: Seed of the draw.
        forward: Calls the model. If it has no function for that, and the batches are dictionaries that the model takes,
            it is given one, on all ranks; see `infer_forward_fn`.
        process_group: The ranks.
        verbose: Whether the progress bar shows how many samples have been drawn.

    Returns:
        The probe; on the CPU where there are several ranks, because each has its own device. Without a function
        that calls the model only the inputs are kept, so that no label reaches the lens.

    Raises:
        MisconfigurationException: There is neither a source nor a validation dataloader.
        TypeError, ValueError: As `draw_batches` and `Probe.from_batches` raise them.
    """

    def transfer(batch: Any) -> Any:
        on_device = transfer_batch(trainer, batch, seed)
        return tree_map(lambda part: move(part, torch.device("cpu")), on_device)  # `Probe.to` decides what stays there

    drawn: list[DrawnBatch] = []

    def draw() -> Any:
        samples = validation_source(trainer) if source is None else source
        with DrawProgress(trainer, verbose) as progress:
            drawn.extend(
                draw_batches(samples, size, seed, transfer=transfer, progress=progress.update, notify=rank_zero_warn)
            )
        if forward.is_inferred or dictionary_of(drawn[0].data) is None:
            return None
        return trial_samples(drawn[0].data)

    def make() -> Probe:
        forward_fn = forward.forward_fn
        if isinstance(forward_fn, KeywordForward):
            drawn[:] = [replace(batch, data=forward_fn.select(batch.data)) for batch in drawn]
        pick = getattr(forward_fn, "inputs", None)
        probe = Probe.from_batches(drawn, size, pick, keep_data=forward_fn is not None)
        return probe.to(torch.device("cpu")) if process_group.world_size > 1 else probe

    trial = process_group.broadcast_object(draw)
    if trial is not None:
        forward.infer(trial, verbose)
    return process_group.broadcast_object(make)


def validation_source(trainer: Trainer) -> Any:
    """The first validation dataloader, also before Lightning has loaded it.

    Raises:
        MisconfigurationException: There is none.
    """
    loaders: Any = trainer.val_dataloaders
    if loaders is None:
        planned = validation_data_source(trainer)
        if planned.is_defined():
            # the user's `val_dataloader` may draw a split, or set attributes
            with isolate_rng(), _preserve_state(planned.instance):
                loaders = planned.dataloader()
    source = None if loaders is None else first_loader(loaders)
    if source is None:
        raise MisconfigurationException(
            "FactorLensCallback: found no validation dataloader to take unlabelled images from; "
            "pass `probe=` a tensor of images, a dataset or a DataLoader."
        )
    return source


def first_loader(loaders: Any) -> Any:
    """The first of the validation dataloaders, which Lightning takes in lists, tuples and dictionaries of any depth.

    Args:
        loaders: One loader, or several. A list of tuples or dictionaries of nothing but tensors counts as a list
            of batches; a tensor as a loader whose batches are its rows, as Lightning takes it.

    Returns:
        A loader, or `FinishedBatches` of anything that is no ``DataLoader``; None if there is none.

    Example:
        >>> batches = [(torch.zeros(2, 3), torch.zeros(2)), (torch.ones(2, 3), torch.ones(2))]
        >>> len(first_loader(batches).batches), type(first_loader({"a": DataLoader([1.0])})).__name__
        (2, 'DataLoader')
    """
    combined = loaders if isinstance(loaders, CombinedLoader) else CombinedLoader(loaders, "sequential")
    flat = combined.flattened
    if not flat:
        return None
    given = combined.iterables
    is_list = isinstance(given, (list, tuple)) and all(isinstance(batch, (list, tuple, dict)) for batch in given)
    if is_list and all(isinstance(part, Tensor) for part in flat):
        return FinishedBatches(given)
    return flat[0] if isinstance(flat[0], DataLoader) else FinishedBatches(flat[0])


def transfer_batch(trainer: Trainer, batch: Any, seed: int = 0) -> Any:
    """A collated batch after the user's batch-transfer hooks, on the model's device.

    The hooks run as during validation, on a model in evaluation mode; module and datamodule are left as found.

    Args:
        trainer: The Trainer.
        batch: The batch.
        seed: Seed of what the hooks draw at random.

    Returns:
        What the last hook returns.
    """
    pl_module = trainer.lightning_module
    if not _has_transfer_hooks(trainer):  # no code of the user's runs, so there is nothing to isolate
        return trainer.strategy.batch_to_device(batch, dataloader_idx=0)
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    with isolate_model(pl_module), _preserve_state(datamodule), validation_stage(trainer), suppress_logging(pl_module):
        seed_cpu(seed)
        device = trainer.strategy.root_device
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        batch = before_batch_transfer(pl_module, batch)
        return trainer.strategy.batch_to_device(batch, dataloader_idx=0)


def _has_transfer_hooks(trainer: Trainer) -> bool:
    """Whether the module or the data module has a batch-transfer hook of its own."""
    datamodule = getattr(trainer, "datamodule", None)
    for hook in TRANSFER_HOOKS:
        if is_overridden(hook, trainer.lightning_module, LightningModule):
            return True
        if datamodule is not None and is_overridden(hook, datamodule, LightningDataModule):
            return True
    return False


@contextmanager
def _preserve_state(owner: Any) -> Iterator[None]:
    """Restores what a method of a module or datamodule changes in its attributes and in what they hold."""
    if not isinstance(owner, (LightningModule, LightningDataModule)):
        yield
        return
    state = PythonState(vars(owner), parameters=False, max_bytes=MAX_STATE_BYTES)
    try:
        yield
    finally:
        state.restore()
