"""A step over sampled rows as one CUDA graph: with small tensors, launching the kernels costs more than running them.

Recording a graph costs as much as some iterations, so it is used only in stages of many iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_factorlens.factorization.groups import ComponentGroups
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.solver import Solver
from lightning_factorlens.factorization.state import State

#: Calls before the recording, in which libraries allocate memory, compile kernels and fill caches.
N_WARMUP = 2


class GraphedCallable:
    """A function of tensors of fixed shapes, recorded once and replayed on CUDA; elsewhere it is just called.

    The function may write into its arguments, which are then copies. It must not wait for the device (`float`,
    `tolist`, `nonzero`, a mask as index), read memory of the host, or draw random numbers. If it does, or if recording
    fails for another reason, it is called without a graph from then on, and ``fallback_reason`` is not empty.

    Args:
        function: The function.

    Attributes:
        fallback_reason: The error that prevented the recording; empty if there was none.
    """

    def __init__(self, function: Callable[..., Sequence[Tensor]]) -> None:
        self.function = function
        self.fallback_reason = ""
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._outputs: Sequence[Tensor] = ()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Returns the function's results; on CUDA they are copies, which later calls do not overwrite."""
        if inputs[0].device.type != "cuda" or self.fallback_reason:
            return self.function(*inputs)
        if self._graph is None or not self._matches(inputs):
            try:
                self._record(inputs)
            except RuntimeError as error:
                self._graph = None
                self.fallback_reason = f"{type(error).__name__}: {error}"
                return self.function(*inputs)
        assert self._graph is not None
        with torch.cuda.device(inputs[0].device):
            for recorded, given in zip(self._inputs, inputs):
                recorded.copy_(given)
            self._graph.replay()
            return list(map(torch.clone, self._outputs))

    def _matches(self, inputs: Sequence[Tensor]) -> bool:
        return _signature(self._inputs) == _signature(inputs)

    def _record(self, inputs: Sequence[Tensor]) -> None:
        """Records the graph. Its memory is kept as long as this object: ``_inputs``, and the graph's pool."""
        with torch.cuda.device(inputs[0].device):
            main_stream = torch.cuda.current_stream()
            side_stream = torch.cuda.Stream()
            side_stream.wait_stream(main_stream)
            with torch.cuda.stream(side_stream):
                for _ in range(N_WARMUP):
                    self.function(*map(torch.clone, inputs))
            main_stream.wait_stream(side_stream)
            self._inputs = list(map(torch.clone, inputs))
            graph = torch.cuda.CUDAGraph()
            # "thread_local" permits allocations in other threads, such as the pinning thread of a DataLoader.
            with torch.cuda.graph(graph, stream=side_stream, capture_error_mode="thread_local"):
                self._outputs = self.function(*self._inputs)
            self._graph = graph


def _signature(tensors: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype, torch.device]]:
    return [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]


class GraphedStep:
    """A solver's step on one problem through a `GraphedCallable`, always with all groups.

    Args:
        solver: The solver.
        problem: The problem; its tensors and numbers become part of the graph, so it must not change.
        groups: The groups of components.

    Attributes:
        graphed: The step as a function of flat tensors.
    """

    def __init__(self, solver: Solver, problem: CoupledProblem, groups: ComponentGroups) -> None:
        self.solver = solver
        self.problem = problem
        self.groups = groups
        self.graphed = GraphedCallable(self._flat_step)
        self._template: State | None = None

    def __call__(self, state: State) -> State:
        """Computes one iteration. The first one after `Solver.init` may differ from the others and is not recorded."""
        if state.fresh or state.F.device.type != "cuda":
            return self.solver.step(self.problem, self.groups, state)
        if self._template is None:
            scratch = None if state.scratch is None else torch.empty_like(state.scratch)
            self._template = replace(state, scratch=scratch)
        return unflatten_state(self.graphed(*flatten_state(state)), self._template)

    def _flat_step(self, *tensors: Tensor) -> list[Tensor]:
        assert self._template is not None
        state = unflatten_state(tensors, self._template)
        return flatten_state(self.solver.step(self.problem, self.groups, state))


def flatten_state(state: State) -> list[Tensor]:
    """Returns the tensors of a state that a step reads, in a fixed order; without the scratch memory."""
    flat = [state.F, state.W, state.objective]
    for tensors in (state.rows, state.groups):
        for name in sorted(tensors):
            flat.append(tensors[name])
    return flat


def unflatten_state(tensors: Sequence[Tensor], template: State) -> State:
    """Returns the state from which `flatten_state` gives ``tensors``; names and scratch memory are the template's."""
    F, W, objective, *named = tensors
    row_names = sorted(template.rows)
    group_names = sorted(template.groups)
    rows = dict(zip(row_names, named))
    groups = dict(zip(group_names, named[len(row_names) :]))
    return State(F, W, objective, rows, groups, template.scratch)
