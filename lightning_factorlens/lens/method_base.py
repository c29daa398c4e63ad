"""What the methods of `FactorLens` that have a file of their own need of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.capture.sharded_parameters import sharded_parameters
from lightning_factorlens.config import LensOptions
from lightning_factorlens.distributed import SingleProcess
from lightning_factorlens.lens.model_runner import ModelRunner
from lightning_factorlens.results import LayerInfo


class LensMethods(ABC):
    """The base of the classes of methods of `FactorLens`.

    The docstring of `FactorLens` describes the attributes.
    """

    model: nn.Module
    options: LensOptions
    process_group: SingleProcess
    layer_table: list[LayerInfo]
    output_decision: OutputDecision

    @abstractmethod
    def _runner(self) -> ModelRunner:
        """Calls the model."""

    def _samples(self, probe: Any) -> Probe:
        """The probe of all processes.

        Raises:
            ValueError: It is empty.
        """
        samples = self._runner().wrap(probe)
        if not len(samples):
            raise ValueError("probe: found no samples; pass at least one.")
        return samples

    def _check_one_process(self, what: str) -> None:
        """Refuses a model or a lens that is divided between several processes.

        Args:
            what: What is found by one process, in the plural.

        Raises:
            ValueError: The model has sharded parameters, or the lens a process group.
        """
        self._check_whole(what)
        if self.process_group.world_size > 1:
            raise ValueError(
                f"process_group: {what} are found by one process, found a group of {self.process_group.world_size}; "
                "call a FactorLens without process_group, in one or in every process."
            )

    def _check_whole(self, what: str) -> None:
        """Refuses a model whose parameters are sharded over several processes; see `_check_one_process`."""
        sharded = sharded_parameters(self.model)
        if sharded:
            raise ValueError(
                f"model: {what} are found by one process, and {len(sharded)} parameters are sharded over several, "
                f"first {sharded[0]!r}; load a checkpoint into a whole model."
            )
