"""How the model's output is read, where only the first training step can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning.pytorch import LightningModule
from torch import Tensor

from lightning_factorlens.capture.loss_terms import LossGraph, read_loss_graph
from lightning_factorlens.capture.outputs import NAMES, OutputDecision
from lightning_factorlens.lens import FactorLens
from lightning_factorlens.loggers.declared_tags import declared_tags
from lightning_factorlens.measurements import OUTPUT_NEEDS, Measurement, no_class_scores, without_outputs
from lightning_factorlens.results import Observation
from lightning_factorlens.run_state import WarmStart

#: Largest number of losses of the first training step that are read; some optimizers compute it many times.
MAX_LOSSES = 8


class OutputEvidence:
    """Reads the losses of the first training step, and holds back until then what was measured of class scores.

    The observation before training is made before any loss is seen. Where only one part of the output can be class
    scores, they are measured all the same; these numbers are published once the training step has confirmed that the
    part is class scores, and dropped otherwise.

    Args:
        measurements: The lens's measurements.

    Attributes:
        is_pending: Whether the decision waits for the training step; equal on all ranks.
        coming_needs: Needs of the measurements that may be made for the first time at the next observation.
        line: The decision in one line, as far as it is known.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self.measurements = measurements
        self.is_pending = False
        self.coming_needs: frozenset[str] = frozenset()
        self.line = ""
        self._lens: FactorLens | None = None
        self._graph: LossGraph | None = None
        self._n_losses = 0
        self._failure = ""
        self._held: tuple[Observation, WarmStart] | None = None

    def start(self, lens: FactorLens) -> None:
        """Begins to wait if the lens could not decide, and lets it assume the only class scores that are possible."""
        self._lens = lens
        reader = lens.output_reader
        reads_output = any((measurement.needs | measurement.uses) & OUTPUT_NEEDS for measurement in self.measurements)
        is_open = lens.output_decision.kind == "unknown" and lens.state.output_decision is None
        self.is_pending = is_open and reads_output and reader is not None and reader.needs_training_step
        self.coming_needs = OUTPUT_NEEDS if self.is_pending else frozenset()
        self.line = lens.output_decision.line
        if self.is_pending:
            self.line = f"outputs: the first training step decides: {lens.output_decision.reason}"
            lens.output_decision = lens.output_decision.assume_classes()

    def hold(self, observation: Observation, warm_start: WarmStart) -> tuple[Observation, WarmStart]:
        """While the decision is open, keeps an observation back and returns what may be published of it."""
        self.coming_needs = OUTPUT_NEEDS if self.is_pending else frozenset()
        if not self.is_pending or self._lens is None:
            return observation, warm_start
        self._held = (observation, warm_start)
        return self._pruned(observation, warm_start, self._lens.output_decision)

    def see_loss(self, pl_module: LightningModule, loss: Tensor) -> None:
        """Reads the graph of a loss of the first training step. Nothing is computed, and no error is raised."""
        if not self.is_pending or self._lens is None or loss.grad_fn is None or self._n_losses >= MAX_LOSSES:
            return
        self._n_losses += 1
        try:
            names = {id(parameter): name for name, parameter in pl_module.named_parameters()}
            found = read_loss_graph(loss.grad_fn, names)
        except Exception as error:
            self._failure = f"reading the training step's loss failed ({type(error).__name__}: {error})"
        else:
            self._graph = found if self._graph is None else self._graph.join(found)

    def decide(self, pl_module: LightningModule, is_last_chance: bool) -> OutputDecision | None:
        """The decision after a training batch; None to wait for the next batch, where this one had no loss."""
        if self._lens is None or self._lens.output_reader is None:
            return None
        if self._n_losses == 0 and pl_module.automatic_optimization and not is_last_chance:
            return None
        reader = self._lens.output_reader
        if self._failure:
            return replace(reader.decide(), reason=self._failure)
        try:
            return reader.decide_by_training(self._graph, pl_module)
        except Exception as error:
            reason = f"reading the training step failed ({type(error).__name__}: {error})"
            return replace(reader.decide(), reason=reason)

    def finish(self, decision: OutputDecision) -> tuple[Observation, WarmStart] | None:
        """Ends the waiting.

        Args:
            decision: The decision of rank 0.

        Returns:
            The observation that was held back and its warm start, as they are to be published; None if there is none.
        """
        self.is_pending = False
        self.coming_needs = OUTPUT_NEEDS if decision.kind == "classes" else OUTPUT_NEEDS - {"class_scores"}
        held, self._held, self._graph = self._held, None, None
        if self._lens is None:
            return None
        was_assumed = self._lens.output_decision
        self._lens.output_decision = decision
        if held is None:
            return None
        observation, warm_start = held
        if decision.kind == "classes" and decision.path == was_assumed.path:
            self.coming_needs = frozenset()
            return replace(observation, notes=(*observation.notes, decision.line)), warm_start
        observation = self._with_new_notes(observation, was_assumed, decision)
        return self._pruned(observation, warm_start, decision)

    def _pruned(
        self, observation: Observation, warm_start: WarmStart, decision: OutputDecision
    ) -> tuple[Observation, WarmStart]:
        """Both without what depends on what the output is."""
        pruned, states = without_outputs(observation, warm_start.states, self.measurements, decision)
        return pruned, replace(warm_start, states=states)

    def _with_new_notes(self, observation: Observation, before: OutputDecision, now: OutputDecision) -> Observation:
        """The observation with the notes of the new decision in place of those of the first one."""
        notes = list(observation.notes)
        for measurement in self.measurements:
            note = no_class_scores(measurement, before)
            if note in notes:
                notes.remove(note)
                if now.kind != "classes":
                    notes.append(no_class_scores(measurement, now))
        if now.kind in NAMES:
            notes.append(f"{now.line}; so from the next observation on" if now.kind == "classes" else now.line)
        return replace(observation, notes=tuple(notes))


def tags_that_need(
    needs: frozenset[str], measurements: Sequence[Measurement], ranks: Sequence[int], prefix: str
) -> frozenset[str]:
    """The tags of the monitored scalars of those measurements that have one of some needs."""
    chosen = [measurement for measurement in measurements if measurement.needs & needs]
    return frozenset(declared_tags(chosen, ranks, prefix))
