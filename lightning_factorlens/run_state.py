"""What a lens remembers of a run: what it saw, how far it has come, what it told. A checkpoint keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from lightning_factorlens.budget import OverheadBudget
from lightning_factorlens.capture.batch import fingerprint
from lightning_factorlens.lens import WarmStart
from lightning_factorlens.loggers.json_lines import from_json, to_json, without_tensors
from lightning_factorlens.loggers.tables import run_table
from lightning_factorlens.results import Observation

#: Past looks in a checkpoint, at most.
MAX_HISTORY = 500


@dataclass
class RunState:
    """One run's, from before the first look on.

    Attributes:
        account: What looking has cost.
        patterns: The user's choice of layers, in words: what was chosen by another is not taken over.
        looks: How many there were; those that failed or were skipped do not count.
        failures: How many of them failed since this process began; no checkpoint keeps it.
        epochs: Epochs whose end the lens has seen.
        last_step: Optimizer steps when a look was last due.
        looked_this_epoch: Whether the epoch has had a look already, for whoever counts looks and not epochs.
        latest: The summaries as last measured, by tag.
        news: Those of the last look, empty where it came to nothing.
        layers: Names of the layers that are watched.
        probe: Mark of its samples, see `recognises`.
        memory: What the last look leaves to the next, on the CPU.
        history: All looks, without their tensors.
    """

    budget: OverheadBudget
    layer_patterns: str
    n_measured: int = 0
    n_failed: int = 0
    epochs: int = 0
    last_step: int = 0
    measured_this_epoch: bool = False
    metrics: dict[str, float] = field(default_factory=dict)
    epoch_metrics: dict[str, float] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    probe_fingerprint: str = ""
    warm_start: WarmStart = field(default_factory=WarmStart)
    history: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines: list[str] = []

    def record(self, seen: Observation, memory: WarmStart) -> None:
        """A look that went well."""
        self.warm_start = memory
        self.history.append(without_tensors(seen))
        self.n_measured += 1

    def publish(self, found: dict[str, float] | None) -> None:
        """What a look found, as all ranks are told; None where it failed."""
        self.epoch_metrics = found or {}
        self.metrics.update(self.epoch_metrics)
        self.measured_this_epoch = found is not None

    def update_probe(self, samples: Tensor) -> bool:
        """Whether these samples are the probe so far, bit for bit. From now on they are: memories of others go."""
        mark = fingerprint(samples)
        same, self.probe_fingerprint = self.probe_fingerprint in ("", mark), mark
        self.warm_start = self.warm_start if same else WarmStart()
        return same

    def summary_text(self, prefix: str) -> str:
        """What the run came to, in words.

        Args:
            prefix: First part of every tag.
        """
        account = self.budget
        table = f"What FactorLens saw:\n{run_table(self.history, prefix)}\n" if self.history else ""
        skipped = (
            f"; {account.n_skipped} skipped for max_overhead={account.max_fraction:g}" if account.n_skipped else ""
        )
        failed = f"; {self.n_failed} failed" if self.n_failed else ""
        share = f"{account.overhead:.1%} of the time"
        return f"{table}FactorLens: {self.n_measured} looks in {account.total_seconds:.1f} s, {share}{skipped}{failed}."

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors alone: checkpoints are loaded with ``weights_only``."""
        return {
            "account": self.budget.state_dict(),
            "patterns": self.layer_patterns,
            "looks": self.n_measured,
            "epochs": self.epochs,
            "last_step": self.last_step,
            "looked_this_epoch": self.measured_this_epoch,
            "latest": dict(self.metrics),
            "news": dict(self.epoch_metrics),
            "layers": list(self.layers),
            "probe": self.probe_fingerprint,
            "warm": list(self.warm_start.F or ()),
            "predictions": self.warm_start.predictions,
            "past": self._past()[-MAX_HISTORY:],
        }

    def from_state_dict(self, state: dict[str, Any]) -> RunState:
        """One that goes on where a checkpoint stopped, under this one's budget and choice of layers.

        Raises:
            KeyError, TypeError, ValueError: No state of a lens, an older lens's, or factors that are no numbers.
        """
        account, past = replace(self.budget), list(state["past"])
        account.load_state_dict(state["account"])
        memory = WarmStart(tuple(state["warm"]) or None, state["predictions"])
        if not all(bool(factor.isfinite().all()) for factor in memory.F or ()):
            raise ValueError("warm: factors that are NaN or infinite.")
        diary = RunState(
            budget=account,
            layer_patterns=self.layer_patterns,
            n_measured=state["looks"],
            epochs=state["epochs"],
            last_step=state["last_step"],
            measured_this_epoch=state["looked_this_epoch"],
            metrics=dict(state["latest"]),
            epoch_metrics=dict(state["news"]),
            layers=list(state["layers"]) if state["patterns"] == self.layer_patterns else [],
            probe_fingerprint=state["probe"],
            warm_start=memory,
            history=[from_json(line) for line in past],
        )
        diary._lines = past
        return diary

    def _past(self) -> list[str]:
        """The looks so far, each turned into text once: a string is saved far faster than the numbers in it."""
        self._lines += map(to_json, self.history[len(self._lines) :])
        return self._lines
