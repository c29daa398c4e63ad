"""A pass over sampled rows as one CUDA graph: where the tensors are small, its launches cost more than its work.

Capturing costs some passes itself, so it is for stages of many passes: a cold start, not a warm one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import Solver, State

#: Calls before the capture, on a side stream: libraries allocate, kernels compile, tables are cached.
WARMUPS = 2


class GraphedCallable:
    """A function of tensors of fixed shapes, recorded once and replayed on CUDA; a plain call everywhere else.

    The function may write into its arguments, which are then copies. It must neither wait for the device (`float`,
    `tolist`, `nonzero`, a mask as index), nor read memory of the host, nor draw random numbers. Where it does, or where
    recording fails for another reason, it is called plainly from then on, and ``refusal`` says why.

    Args:
        call: The function.
    """

    def __init__(self, call: Callable[..., Sequence[Tensor]]) -> None:
        self.call = call
        self.refusal = ""
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.outputs: Sequence[Tensor] = ()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """The function's results; on CUDA copies of its own, which a later call leaves alone."""
        if inputs[0].device.type != "cuda" or self.refusal:
            return self.call(*inputs)
        if self.graph is None or not self._fits(inputs):
            try:
                self._record(inputs)
            except RuntimeError as error:
                self.graph, self.refusal = None, f"{type(error).__name__}: {error}"
                return self.call(*inputs)
        assert self.graph is not None
        with torch.cuda.device(inputs[0].device):
            for own, given in zip(self.inputs, inputs):
                own.copy_(given)
            self.graph.replay()
            return [t.clone() for t in self.outputs]

    def _fits(self, inputs: Sequence[Tensor]) -> bool:
        known = [(t.shape, t.dtype, t.device) for t in self.inputs]
        return known == [(t.shape, t.dtype, t.device) for t in inputs]

    def _record(self, inputs: Sequence[Tensor]) -> None:
        """Everything the graph touches lives as long as this object: its inputs here, the rest in the graph's pool."""
        with torch.cuda.device(inputs[0].device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARMUPS):
                    self.call(*[t.clone() for t in inputs])
            here.wait_stream(aside)
            self.inputs = [t.clone() for t in inputs]
            graph = torch.cuda.CUDAGraph()
            # "thread_local": a loader's pinning thread may go on allocating meanwhile.
            with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
                self.outputs = self.call(*self.inputs)
            self.graph = graph


class GraphedStep:
    """A solver's `step` on one problem, through `Replayed`; it must serve one set of groups, so none may be left out.

    Args:
        solver: The solver.
        problem: Stays the same: its tensors and numbers are part of the recording.
        groups: Of the components.
    """

    def __init__(self, solver: Solver, problem: CoupledProblem, groups: ComponentGroups) -> None:
        self.solver, self.problem, self.groups = solver, problem, groups
        self.shape: State | None = None
        self.replayed = GraphedCallable(self._flat_step)

    def __call__(self, state: State) -> State:
        """One pass. The first after `init`, which is unlike the others, is a plain call."""
        if state.fresh or state.F.device.type != "cuda":
            return self.solver.step(self.problem, self.groups, state)
        if self.shape is None:
            scratch = None if state.scratch is None else torch.empty_like(state.scratch)
            self.shape = replace(state, scratch=scratch)
        return unflatten_state(self.replayed(*flatten_state(state)), self.shape)

    def _flat_step(self, *tensors: Tensor) -> list[Tensor]:
        assert self.shape is not None
        return flatten_state(self.solver.step(self.problem, self.groups, unflatten_state(tensors, self.shape)))


def flatten_state(state: State) -> list[Tensor]:
    """The tensors of a state that a step reads, in an order of their own; scratch memory is none of them."""
    named = [*sorted(state.rows.items()), *sorted(state.groups.items())]
    return [state.F, state.W, state.objective, *(tensor for _, tensor in named)]


def unflatten_state(tensors: Sequence[Tensor], like: State) -> State:
    """The state whose `flattened` gives ``tensors``, with the names and the scratch memory of ``like``."""
    F, W, objective, *named = tensors
    rows, groups = sorted(like.rows), sorted(like.groups)
    memory = dict(zip(groups, named[len(rows) :]))
    return State(F, W, objective, dict(zip(rows, named)), memory, like.scratch)
