"""What can be read of a LabelFreeStopping during and after a run, and the state that it puts into checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping

from lightning_factorlens.callbacks._attempts import Attempts
from lightning_factorlens.callbacks._averaged_weights import AveragedWeights
from lightning_factorlens.callbacks._best_weights import BestWeights
from lightning_factorlens.callbacks._spawn_results import SpawnResults
from lightning_factorlens.callbacks._stopping_course import StoppingCourse
from lightning_factorlens.callbacks._stopping_scalars import declare_scalars, stopping_tags
from lightning_factorlens.callbacks._weights_files import KeptWeights
from lightning_factorlens.measurements import Scalar
from lightning_factorlens.results.findings import StopAdvice
from lightning_factorlens.stopping import BestEpochBehind, Decision, Rule


class StoppingResults(EarlyStopping):
    """The results and the state of `LabelFreeStopping`, which adds what happens during training.

    Args:
        monitor: Tag of the metric that the rule receives.
        rule: The rule.
        tag_name: Part of the logged tags.
        verbose: Whether it reports in words.
        restore_best: Whether the weights of the rule's best epoch are kept, or ``"average"``.
    """

    def __init__(self, monitor: str, rule: Rule, tag_name: str, verbose: bool, restore_best: bool | str) -> None:
        super().__init__(monitor, check_on_train_epoch_end=True, verbose=verbose)
        self.rule = rule
        self.tag_name = tag_name
        self.restore_best = restore_best
        self.prefix = monitor.split("/")[0]
        self._attempts = Attempts()
        self._spawn_results = SpawnResults()
        self._course = StoppingCourse(monitor, rule)
        self._reset()

    def _reset(self) -> None:
        """Returns to the state before the first measurement."""
        self._course.reset()
        self._weights = self._new_weights()
        self._metrics_checked = False

    def _new_weights(self) -> BestWeights | None:
        if self.restore_best == "average":
            return AveragedWeights(f"{self.prefix}-{self.tag_name}-average")
        return BestWeights(f"{self.prefix}-{self.tag_name}-best") if self.restore_best else None

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that are logged, the score first."""
        return stopping_tags(self.prefix, self.tag_name, isinstance(self.rule, BestEpochBehind))

    # ---- from a child process to the main process

    def _leave_results(self, trainer: Trainer) -> None:
        leave = partial(self._spawn_results.write, trainer, self._results)
        self._attempts.alone("could not pass its decision to the main process", leave)

    def _results(self) -> dict[str, Any]:
        decision = None if self._course.decision is None else asdict(self._course.decision)
        return {"decision": decision, "state": self.state_dict()}

    def _collect(self) -> None:
        """Takes over what a child process has left."""
        self._attempts.alone("could not read the decision of its child process", self._take_results)

    def _take_results(self) -> None:
        results = self._spawn_results.take()
        if results is not None:
            self.load_state_dict(results["state"])
            self._course.decision = None if results["decision"] is None else Decision(**results["decision"])

    # ---- results

    @property
    def decision(self) -> Decision | None:
        """The rule's latest decision; None before the first measurement of an epoch."""
        self._collect()
        return self._course.decision

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights are kept; None if none are."""
        kept = self._kept
        return None if kept is None else kept.epoch

    @property
    def best_weights_path(self) -> str | None:
        """The file of the kept weights; None if none are kept."""
        kept = self._kept
        return None if kept is None else kept.path

    @property
    def _kept(self) -> KeptWeights | None:
        self._collect()
        return None if self._weights is None else self._weights.best

    # ---- for the FactorLensCallback

    @property
    def stop_advice(self) -> StopAdvice:
        """What the rule has decided so far, for the summary of the run."""
        state = self._course.state
        signal = self._course.monitor.partition("/")[2]
        return StopAdvice("LabelFreeStopping", state.best_epoch, state.stop_epoch, state.probability, signal)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """Declarations of the logged scalars, for TensorBoard's layout and help page, and for checks of monitors."""
        return declare_scalars(self.tags, self.prefix)

    # ---- state

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint, distinct for distinct tags."""
        return self._generate_state_key(tag=self.tags[0])

    def state_dict(self) -> dict[str, Any]:
        """The state in plain types, so that a checkpoint can be loaded with ``weights_only=True``."""
        state = self._course.state_dict()
        if self._weights is not None:
            state["weights"] = self._weights.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from a checkpoint; a rule with other options than the checkpoint's starts anew, with a warning."""
        values = dict(state_dict)
        saved_weights = values.pop("weights", None)
        if self._weights is not None and saved_weights is not None:
            self._weights.load_state_dict(saved_weights)
        self._course.load_state_dict(values)
