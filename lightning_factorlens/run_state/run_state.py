"""The state that a run keeps from one observation to the next, and its form in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.capture.outputs import OutputDecision
from lightning_factorlens.results import History, Observation, Record
from lightning_factorlens.run_state.training_loss import TrainingLoss
from lightning_factorlens.run_state.warm_start import WarmStart


@dataclass
class RunState:
    """State of one run, from before its first observation on.

    Attributes:
        budget: The clock, and the time that observations have taken.
        layer_patterns: The user's selection of layers, as text: layers that other patterns selected are not reused.
        measured: What is measured, as text: scalars of other measurements or ranks are not reused.
        n_measured: Number of observations; failed ones do not count.
        n_full: Number of those that were made in full.
        n_not_due: Number of those that were made because a run ended; the draws of a resumed run do not count them.
        n_failed: Number of failed observations since this process began; no checkpoint keeps it.
        epochs: Number of epochs that have ended.
        last_step: Optimizer steps when an observation was last due.
        measured_this_epoch: Whether the epoch has had an observation already.
        metrics: The monitored scalars as last measured, by tag.
        epoch_metrics: The monitored scalars of the last observation, empty where it failed.
        layers: Names of the selected layers.
        output_decision: How the model's output is read; None before it was decided.
        probe_fingerprint: Fingerprint of the probe, see `update_probe`.
        warm_start: The data from which the next observation starts.
        history: All observations, without their tensors.
        training_loss: The losses of the training batches since the last observation.
    """

    budget: OverheadBudget = field(default_factory=OverheadBudget)
    layer_patterns: str = ""
    measured: str = ""
    n_measured: int = 0
    n_full: int = 0
    n_not_due: int = 0
    n_failed: int = 0
    epochs: int = 0
    last_step: int = 0
    measured_this_epoch: bool = False
    metrics: dict[str, float] = field(default_factory=dict, repr=False)
    epoch_metrics: dict[str, float] = field(default_factory=dict, repr=False)
    layers: list[str] = field(default_factory=list)
    output_decision: OutputDecision | None = None
    probe_fingerprint: str = ""
    warm_start: WarmStart = field(default_factory=WarmStart, repr=False)
    history: History = field(default_factory=History, repr=False)
    training_loss: TrainingLoss = field(default_factory=TrainingLoss, repr=False)

    def record(self, observation: Observation, warm_start: WarmStart, is_due: bool = True) -> None:
        """Keeps a successful observation.

        Args:
            observation: The whole observation; its tensors are not kept.
            warm_start: The data from which the next observation starts.
            is_due: Whether it was due; the one at the end of a run may not be.
        """
        self.warm_start = warm_start
        self.history.append(observation)
        self.n_measured += 1
        self.n_not_due += not is_due
        self.n_full += observation.is_full

    def replace_last(self, observation: Observation, warm_start: WarmStart) -> None:
        """Puts an observation in the place of the last one, whose numbers were not complete."""
        self.warm_start = warm_start
        self.n_full += observation.is_full - self.history[-1].is_full
        self.history.replace_last(observation)

    def publish(self, metrics: dict[str, float] | None) -> None:
        """Keeps the monitored scalars that all ranks were sent; None where the observation failed."""
        self.epoch_metrics = metrics or {}
        self.metrics.update(self.epoch_metrics)
        self.measured_this_epoch = metrics is not None

    def update_probe(self, found: str) -> bool:
        """Makes other samples the probe; a warm start of other samples is dropped.

        Args:
            found: The fingerprint of the probe, see `Probe.fingerprint`.

        Returns:
            Whether they equal the probe so far, bit for bit.
        """
        is_same = self.probe_fingerprint in ("", found)
        self.probe_fingerprint = found
        if not is_same:
            self.warm_start = self.warm_start.for_other_samples()
        return is_same

    def state_dict(self) -> dict[str, Any]:
        """The state in plain types and tensors, because checkpoints are loaded with ``weights_only``."""
        warm_start = self.warm_start.cpu()
        return {
            "budget": self.budget.state_dict(),
            "layer_patterns": self.layer_patterns,
            "measured": self.measured,
            "n_measured": self.n_measured,
            "n_full": self.n_full,
            "n_not_due": self.n_not_due,
            "epochs": self.epochs,
            "last_step": self.last_step,
            "measured_this_epoch": self.measured_this_epoch,
            "metrics": dict(self.metrics),
            "epoch_metrics": dict(self.epoch_metrics),
            "layers": list(self.layers),
            "output_decision": None if self.output_decision is None else self.output_decision.state_dict(),
            "probe_fingerprint": self.probe_fingerprint,
            "warm_start": {"F": list(warm_start.F or ()), "states": dict(warm_start.states)},
            "history": self.history.state_dict(),
            "training_loss": self.training_loss.state_dict(),
        }

    def from_state_dict(
        self, state: dict[str, Any], record_types: Mapping[str, type[Record]] | None = None
    ) -> RunState:
        """A state that continues where a checkpoint stopped, with this one's limit, layer patterns and measurements.

        Args:
            state: From `state_dict`.
            record_types: The user's own record classes, by the names of their measurements.

        Returns:
            A new state.

        Raises:
            KeyError, TypeError, ValueError: ``state`` is not the state of a lens of this version, or holds factors
                that are not finite.
        """
        budget = replace(self.budget)
        budget.load_state_dict(state["budget"])
        F: list[Tensor] = state["warm_start"]["F"]
        for factor in F:
            if not torch.isfinite(factor).all():
                raise ValueError("warm_start: found factors that are NaN or infinite; resume from another checkpoint.")
        is_same = state["measured"] == self.measured
        return RunState(
            budget=budget,
            layer_patterns=self.layer_patterns,
            measured=self.measured,
            n_measured=state["n_measured"],
            n_full=state["n_full"],
            n_not_due=state["n_not_due"],
            epochs=state["epochs"],
            last_step=state["last_step"],
            measured_this_epoch=state["measured_this_epoch"],
            metrics=dict(state["metrics"]) if is_same else {},
            epoch_metrics=dict(state["epoch_metrics"]) if is_same else {},
            layers=list(state["layers"]) if state["layer_patterns"] == self.layer_patterns else [],
            output_decision=_restored_decision(state),
            probe_fingerprint=state["probe_fingerprint"],
            warm_start=WarmStart(tuple(F) or None, state["warm_start"]["states"]),
            history=History.from_state_dict(state["history"], record_types),
            training_loss=TrainingLoss.from_state_dict(state.get("training_loss")),
        )


def _restored_decision(state: Mapping[str, Any]) -> OutputDecision | None:
    """The decision in a checkpoint; None in one of before it was kept."""
    decision = state.get("output_decision")
    return None if decision is None else OutputDecision.from_state_dict(decision)
