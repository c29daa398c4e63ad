"""Optimising a batch of pictures, each for its own objective; those that have converged leave the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_factorlens.visualization.problem import Problem
from lightning_factorlens.visualization.transforms import transform


@dataclass(frozen=True, eq=False)
class AscentResult:
    """Optimised pictures.

    Attributes:
        pictures: Shape (n, C, H, W), from 0 to 1: those of the largest gain, or the last ones where each step sees
            another transformation.
        history: Score of every picture in every step, under its random transformation, shape (steps, n); NaN after the
            picture has left.
    """

    pictures: Tensor
    history: Tensor


def ascend(
    problem: Problem, parameters: Tensor, generator: torch.Generator, on_step: Callable[[int], None]
) -> AscentResult:
    """Optimises a batch of pictures.

    Args:
        problem: What they are optimised for.
        parameters: Their initial parameters, shape (n, …).
        generator: Draws the random transformations.
        on_step: Receives the number of steps of single pictures that are done or spared since the last call.

    Raises:
        ValueError: The layer's output has no gradient with respect to the images.
    """
    run = _Run(problem, parameters)
    n_steps = problem.settings.steps
    for step in range(n_steps):
        n_before = len(run.rows)
        run.step(step, generator)
        run.leave(step)
        n_left = n_before - len(run.rows)
        on_step(n_before + n_left * (n_steps - step - 1))
        if not len(run.rows):
            break
    run.keep_last(torch.ones_like(run.rows, dtype=torch.bool))
    return AscentResult(run.kept, run.history)


class _Run:
    """The pictures that are still in the batch.

    Args:
        problem: What they are optimised for.
        parameters: Their initial parameters.
    """

    def __init__(self, problem: Problem, parameters: Tensor) -> None:
        n = len(parameters)
        settings = problem.settings
        self.problem = problem
        self.parameters = parameters
        self.rows = torch.arange(n, device=parameters.device)
        self.scores = problem.scores
        self.state = settings.optimizer.start(parameters)
        self.history = torch.full((settings.steps, n), torch.nan, device=parameters.device)
        self.gains = self.history.clone()
        self.largest = torch.full((n,), -torch.inf, device=parameters.device)
        self.kept = problem.pictures(parameters).detach()

    def step(self, step: int, generator: torch.Generator) -> None:
        """One step of all pictures."""
        problem, settings = self.problem, self.problem.settings
        leaf = self.parameters.detach().requires_grad_()
        pictures = problem.pictures(leaf)
        seen = transform(pictures, settings.transforms, generator)
        scores, penalty = problem.scores_and_penalties(pictures, seen, self.scores)
        gain = scores / problem.scales[self.rows] - penalty
        if step == 0:
            _check_gradients(scores, pictures)
        gradient, pixel_gradient = torch.autograd.grad(gain.sum(), [leaf, pictures])
        self.history[step, self.rows] = scores.detach()
        self.gains[step, self.rows] = gain.detach()
        if not settings.transforms:
            self._keep_best(pictures.detach(), gain.detach())
        stepped, self.state = settings.optimizer.step(
            self.parameters, gradient.nan_to_num(), self.state, step + 1, settings.rate(step)
        )
        self.parameters = settings.parametrization.project(stepped)
        is_stuck = ~pixel_gradient.flatten(1).any(1)
        if bool(is_stuck.any()):  # behind a ReLU that gives zero: other random values may open it
            fresh = settings.parametrization.start(int(is_stuck.sum()), problem.statistics, generator)
            self.parameters[is_stuck] = fresh

    def leave(self, step: int) -> None:
        """Lets the pictures leave that have converged."""
        stays = ~self._has_converged(step)
        if bool(stays.all()):
            return
        self.keep_last(~stays)
        self.rows, self.parameters = self.rows[stays], self.parameters[stays]
        self.state = tuple(part[stays] for part in self.state)
        self.scores = self.problem.scores.select(self.rows)

    def keep_last(self, leaving: Tensor) -> None:
        """Keeps the present pictures, where their largest gain is not known because every step transforms them."""
        if self.problem.settings.transforms and len(self.rows):
            self.kept[self.rows[leaving]] = self.problem.pictures(self.parameters[leaving]).detach()

    def _keep_best(self, pictures: Tensor, gain: Tensor) -> None:
        better = gain > self.largest[self.rows]
        rows = self.rows[better]
        self.largest[rows] = gain[better]
        self.kept[rows] = pictures[better]

    def _has_converged(self, step: int) -> Tensor:
        settings = self.problem.settings
        n_seen = step + 1
        if settings.tolerance == 0 or n_seen % settings.patience or n_seen < 2 * settings.patience:
            return torch.zeros_like(self.rows, dtype=torch.bool)
        gains = self.gains[:n_seen, self.rows]
        last = gains[-settings.patience :].mean(0)
        before = gains[-2 * settings.patience : -settings.patience].mean(0)
        converged = last - before <= settings.tolerance
        if self.problem.n_alike > 1:  # pictures that are compared leave together
            groups = converged.unflatten(0, (-1, self.problem.n_alike)).all(1)
            converged = groups.repeat_interleave(self.problem.n_alike)
        return converged


def _check_gradients(scores: Tensor, pictures: Tensor) -> None:
    """Refuses scores that do not depend on the pictures; the penalties of a gain always do."""
    found: tuple[Tensor | None, ...] = (None,)
    if scores.requires_grad:
        found = torch.autograd.grad(scores.sum(), [pictures], retain_graph=True, allow_unused=True)
    if found[0] is None:
        raise ValueError(
            "model: the layer's output has no gradient with respect to the images, as in a quantised model or "
            "behind a detach(); visualise a model in floating point, or another layer."
        )
