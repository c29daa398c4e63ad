"""What a lens remembers of a run: what it saw, how far it has come, what it told. A checkpoint keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from lightning_factorlens.budget import Account
from lightning_factorlens.lens import Memory
from lightning_factorlens.probing.batch import digest
from lightning_factorlens.sinks.records import from_json, to_json, without_tensors
from lightning_factorlens.sinks.tables import run_table
from lightning_factorlens.types import Observation

#: Past looks in a checkpoint, at most.
REMEMBERED = 500


@dataclass
class Diary:
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

    account: Account
    patterns: str
    looks: int = 0
    failures: int = 0
    epochs: int = 0
    last_step: int = 0
    looked_this_epoch: bool = False
    latest: dict[str, float] = field(default_factory=dict)
    news: dict[str, float] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    probe: str = ""
    memory: Memory = field(default_factory=Memory)
    history: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lines: list[str] = []

    def note(self, seen: Observation, memory: Memory) -> None:
        """A look that went well."""
        self.memory = memory
        self.history.append(without_tensors(seen))
        self.looks += 1

    def tell(self, found: dict[str, float] | None) -> None:
        """What a look found, as all ranks are told; None where it failed."""
        self.news = found or {}
        self.latest.update(self.news)
        self.looked_this_epoch = found is not None

    def recognises(self, samples: Tensor) -> bool:
        """Whether these samples are the probe so far, bit for bit. From now on they are: memories of others go."""
        mark = digest(samples)
        same, self.probe = self.probe in ("", mark), mark
        self.memory = self.memory if same else Memory()
        return same

    def closing(self, prefix: str) -> str:
        """What the run came to, in words.

        Args:
            prefix: First part of every tag.
        """
        account = self.account
        table = f"What FactorLens saw:\n{run_table(self.history, prefix)}\n" if self.history else ""
        skipped = f"; {account.skipped} skipped for max_overhead={account.share:g}" if account.skipped else ""
        failed = f"; {self.failures} failed" if self.failures else ""
        share = f"{account.overhead:.1%} of the time"
        return f"{table}FactorLens: {self.looks} looks in {account.spent:.1f} s, {share}{skipped}{failed}."

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors alone: checkpoints are loaded with ``weights_only``."""
        return {
            "account": self.account.state_dict(),
            "patterns": self.patterns,
            "looks": self.looks,
            "epochs": self.epochs,
            "last_step": self.last_step,
            "looked_this_epoch": self.looked_this_epoch,
            "latest": dict(self.latest),
            "news": dict(self.news),
            "layers": list(self.layers),
            "probe": self.probe,
            "warm": list(self.memory.F or ()),
            "predictions": self.memory.predictions,
            "past": self._past()[-REMEMBERED:],
        }

    def resumed(self, state: dict[str, Any]) -> Diary:
        """One that goes on where a checkpoint stopped, under this one's budget and choice of layers.

        Raises:
            KeyError, TypeError, ValueError: No state of a lens, an older lens's, or factors that are no numbers.
        """
        account, past = replace(self.account), list(state["past"])
        account.load_state_dict(state["account"])
        memory = Memory(tuple(state["warm"]) or None, state["predictions"])
        if not all(bool(factor.isfinite().all()) for factor in memory.F or ()):
            raise ValueError("warm: factors that are NaN or infinite.")
        diary = Diary(
            account=account,
            patterns=self.patterns,
            looks=state["looks"],
            epochs=state["epochs"],
            last_step=state["last_step"],
            looked_this_epoch=state["looked_this_epoch"],
            latest=dict(state["latest"]),
            news=dict(state["news"]),
            layers=list(state["layers"]) if state["patterns"] == self.patterns else [],
            probe=state["probe"],
            memory=memory,
            history=[from_json(line) for line in past],
        )
        diary._lines = past
        return diary

    def _past(self) -> list[str]:
        """The looks so far, each turned into text once: a string is saved far faster than the numbers in it."""
        self._lines += map(to_json, self.history[len(self._lines) :])
        return self._lines
