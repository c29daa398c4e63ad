"""Keeps the weights of the best observation in a file and puts them back into the module when ``fit`` ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_factorlens.callbacks._attempts import Attempts
from lightning_factorlens.callbacks._module_forward import as_sentence
from lightning_factorlens.callbacks._weights_files import KeptWeights, WeightsFiles, paths_after_resume
from lightning_factorlens.callbacks._weights_outcome import BEST, NO_BEST_EPOCH, Outcome
from lightning_factorlens.callbacks._weights_store import Change, weights_store


class BestWeights:
    """The weights of the best observation so far, and those of the newest one until it has been judged.

    All processes of a Trainer call the methods together, and no failure leaves them.

    Args:
        name: First part of the names of the files, which distinguishes two callbacks of one Trainer.

    Attributes:
        best: The weights of the best observation; None if there are none, or if they could not be written.
        keeps_observations: Whether `take` is to be called for observations that may become the best.
    """

    keeps_observations = True

    def __init__(self, name: str) -> None:
        self.best: KeptWeights | None = None
        self._candidate: KeptWeights | None = None
        self._attempts = Attempts()
        self._files = WeightsFiles(name, self._attempts)
        self._is_open = False
        self._written: set[str] = set()

    # ---- at the start of ``fit``

    def close(self) -> None:
        """Prepares for another ``fit``."""
        self._is_open = False
        self._attempts.has_warned = False

    def open(self, trainer: Trainer, best_epoch: int | None) -> None:
        """Finds the folder and, in a resumed run, the files that the checkpoint names; does so once in a ``fit``.

        Args:
            trainer: The Trainer.
            best_epoch: The rule's best epoch before this ``fit``; None if there is none.
        """
        if self._is_open:
            return
        self._is_open = True
        self._files.open(trainer)
        if (best_epoch, self.best, self._candidate) != (None, None, None):
            self._resume(trainer, best_epoch)

    def _resume(self, trainer: Trainer, best_epoch: int | None) -> None:
        """Checks the files that the checkpoint names, and warns if the best weights are not among them."""
        problem = "the checkpoint was written without restore_best=True, and names no file"
        if self.best is not None:
            self.best, problem = self._checked(trainer, self.best)
        if self._candidate is not None:
            self._candidate, _ = self._checked(trainer, self._candidate)
        self.mark_saved()
        if self.best is None and best_epoch is not None:
            self._files.rename(trainer)
            rank_zero_warn(
                f"LabelFreeStopping: the weights of epoch {best_epoch}, the best so far, cannot be restored: "
                f"{as_sentence(problem)} The rule goes on from its state; when `fit` ends, weights are restored only "
                "if a later epoch is better."
            )

    def _checked(self, trainer: Trainer, kept: KeptWeights) -> tuple[KeptWeights | None, str]:
        """The weights if the module can take them, also where they lie beside the checkpoint; else None and why not."""
        problem = ""
        for path in paths_after_resume(kept.path, trainer.ckpt_path):
            problem = self._problem(trainer, path)
            if not problem:
                return KeptWeights(path, kept.epoch, kept.step), ""
        return None, problem

    def _problem(self, trainer: Trainer, path: str) -> str:
        """Why the weights of a file cannot be loaded in one of the processes; empty if they can in all."""
        try:
            problem = weights_store(trainer).problem(path, path in self._written)
        except Exception as error:
            problem = f"{path} cannot be read: {type(error).__name__}: {error}"
        is_anywhere = trainer.strategy.reduce_boolean_decision(bool(problem), all=False)
        return problem or (f"another process cannot read {path}" if is_anywhere else "")

    # ---- during training

    def take(self, trainer: Trainer, epoch: int, change: Change | None = None) -> None:
        """Writes the present weights, of which an observation has just been made, or others.

        Args:
            trainer: The Trainer.
            epoch: The epoch, counted from 1.
            change: Returns weights to be written in place of the present ones; None for those.
        """
        self._drop_candidate(trainer)
        if not self._files.folder:
            return
        path = self._files.new_path(trainer, epoch)
        event = f"could not keep the weights of epoch {epoch}"
        if self._attempts.together(trainer, event, lambda: weights_store(trainer).write(path, change)):
            self._written.add(path)
            self._candidate = KeptWeights(path, epoch, trainer.global_step)

    def judge(self, trainer: Trainer, epoch: int, best_epoch: int | None) -> None:
        """Makes the newest weights the best ones, or drops them.

        Args:
            trainer: The Trainer.
            epoch: The epoch that ends, counted from 1.
            best_epoch: The rule's best epoch; the newest weights are the best ones if it is this one.
        """
        if best_epoch != epoch:
            self._drop_candidate(trainer)
            return
        replaced = self.best
        self.best = self._candidate
        self._candidate = None
        self._files.replace(trainer, _path(replaced))

    def mark_saved(self) -> None:
        """Notes that a checkpoint names the present files."""
        self._files.refer_to([kept.path for kept in (self.best, self._candidate) if kept is not None])

    def _drop_candidate(self, trainer: Trainer) -> None:
        dropped = self._candidate
        self._candidate = None
        self._files.replace(trainer, _path(dropped))

    # ---- at the end of ``fit``

    def finish(self, trainer: Trainer, best_epoch: int | None) -> Outcome | None:
        """Restores the best weights unless the module has them already, and leaves no other file of this run.

        Args:
            trainer: The Trainer.
            best_epoch: The rule's best epoch; None if it has started anew and has found none since.

        Returns:
            What was done; None outside of a ``fit``.
        """
        if not self._is_open:
            return None
        self._is_open = False
        best = self.best
        self._drop_candidate(trainer)
        self._files.finish(trainer, _path(best))
        if best is None and best_epoch is None:
            return NO_BEST_EPOCH
        if best is None or best_epoch not in (None, best.epoch):
            return Outcome(f"restores no weights, because it could not keep those of epoch {best_epoch}, the best")
        if (best.epoch, best.step) == (trainer.current_epoch, trainer.global_step):
            return Outcome(f"leaves the weights as they are: the last epoch, {best.epoch}, is the best")
        done = Outcome(f"restores the weights of epoch {best.epoch}, the best", BEST, best.epoch)
        return self._restore(trainer, best, done)

    def _restore(self, trainer: Trainer, best: KeptWeights, done: Outcome) -> Outcome:
        event = f"could not restore the weights of epoch {best.epoch}"
        self._attempts.has_warned = False  # what was reported before is something else
        problem = self._problem(trainer, best.path)
        if problem:
            self._attempts.warn(event, problem)
            return Outcome(event, is_reported=True)
        is_trusted = best.path in self._written
        is_restored = self._attempts.together(
            trainer, event, lambda: weights_store(trainer).load(best.path, is_trusted)
        )
        return done if is_restored else Outcome(event, is_reported=True)

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """The state in plain types: which files the run refers to."""
        best = None if self.best is None else asdict(self.best)
        candidate = None if self._candidate is None else asdict(self._candidate)
        return {"run_id": self._files.run_id, "best": best, "candidate": candidate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues with the files of a checkpoint.

        Args:
            state: From `state_dict`, or from that of `AveragedWeights`, whose file has no weights of a single epoch.
        """
        if "average" not in state:
            self._continue_with(state)

    def _continue_with(self, state: Mapping[str, Any]) -> None:
        self._files.run_id = state["run_id"]
        self.best = None if state["best"] is None else KeptWeights(**state["best"])
        self._candidate = None if state["candidate"] is None else KeptWeights(**state["candidate"])


def _path(kept: KeptWeights | None) -> str | None:
    return None if kept is None else kept.path
