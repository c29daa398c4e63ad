"""The lens of one run of transformers' Trainer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from torch import nn

from lightning_factorlens.batches.batch_objects import move
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.keyword_forward import (
    KeywordForward,
    dictionary_of,
    infer_forward_fn,
    trial_samples,
)
from lightning_factorlens.capture.outputs import Outputs
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import SingleProcess, get_process_group
from lightning_factorlens.integrations._trainer_probe import task_outputs, trainer_samples
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.measurements import Measurement
from lightning_factorlens.results import Observation
from lightning_factorlens.run_state import RunState
from lightning_factorlens.sampling.probe_batch import ProbeSource, draw_batches


class ObserverSettings(Protocol):
    """The arguments of `HuggingFaceCallback` that the observer reads; its docstring describes them."""

    probe_source: ProbeSource | None
    probe_size: int
    measurements: tuple[Measurement, ...]
    options: LensOptions
    outputs: str | Outputs | None
    forward_fn: ForwardFn | None
    state: RunState


class TrainerObserver:
    """Draws the probe, finds out how the model is called, and observes, on all processes together.

    Args:
        settings: The callback's arguments.
        trainer: The Trainer, whose model is on its device.

    Attributes:
        lens: The lens.
    """

    def __init__(self, settings: ObserverSettings, trainer: Any) -> None:
        self._settings = settings
        model = trainer.model
        self._group = get_process_group(trainer.args.device, trainer.args.world_size)
        with self._group.synchronized_errors():
            drawn = self._group.broadcast_object(lambda: self._draw(trainer))
            forward_fn = settings.forward_fn or _inferred_forward(model, drawn[0].data, trainer.args.device)
            if isinstance(forward_fn, KeywordForward):
                drawn = [replace(batch, data=forward_fn.select(batch.data)) for batch in drawn]
            self.lens = FactorLens(
                model,
                settings.options,
                settings.measurements,
                forward_fn=forward_fn,
                process_group=self._group,
                state=settings.state,
                outputs=task_outputs(model) if settings.outputs is None else settings.outputs,
            )
            pick = getattr(forward_fn, "inputs", None)
            probe = Probe.from_batches(drawn, settings.probe_size, pick, keep_data=forward_fn is not None)
            self._probe = probe.to(trainer.args.device)

    def _draw(self, trainer: Any) -> list[DrawnBatch]:
        """The samples, on the CPU."""
        settings = self._settings
        source = trainer_samples(trainer) if settings.probe_source is None else settings.probe_source
        return draw_batches(source, settings.probe_size, settings.options.seed)

    def observe(self, epoch: int, step: int) -> Observation:
        """Observes the model as it is.

        Args:
            epoch: Number of finished epochs, rounded.
            step: Number of steps of the optimizer.
        """
        with self._group.synchronized_errors():
            return self.lens.observe(self._probe, epoch, step)

    def end_run(self) -> None:
        """Leaves the process group, because later observations may be made by one process alone."""
        self.lens.process_group = SingleProcess()


def _inferred_forward(model: nn.Module, batch: Any, device: Any) -> ForwardFn | None:
    """How a model is called on a batch that is a dictionary; None for the inputs alone."""
    if dictionary_of(batch) is None:
        return None
    return infer_forward_fn(model, tree_map(lambda part: move(part, device), trial_samples(batch)))
