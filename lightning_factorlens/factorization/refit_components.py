"""The components that survive group sparsity, fitted without the penalty, which has shrunk them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lightning_factorlens._validation import check_int
from lightning_factorlens.factorization.block_weights import Weighting
from lightning_factorlens.factorization.fit import fit
from lightning_factorlens.factorization.hals import HALS
from lightning_factorlens.factorization.problem import CoupledProblem
from lightning_factorlens.factorization.state import Stage
from lightning_factorlens.factorization.streaming import StreamedProblem
from lightning_factorlens.results import Block, Factorization, SparsityPath


class _RefitHALS(HALS):
    """HALS that continues from its start however much the objective falls, since it falls without the penalty."""

    def schedule(self, problem: CoupledProblem, warm: bool) -> list[Stage]:
        """Returns the last stage of a fit without start."""
        stage = super().schedule(problem, warm=False)[-1]
        return [Stage(stage.n_sampled_rows, 1, self.max_iter, self.sample_tol, "max_iter")]


def refit_components(
    blocks: Sequence[Block],
    path: SparsityPath,
    n_components: int,
    *,
    weighting: Weighting = "unit",
    device: torch.device | str | None = None,
) -> Factorization:
    """Fits the survivors of a path without the penalty, which has shrunk them.

    Args:
        blocks: The blocks of the path.
        path: From `sparsity_path`.
        n_components: Number of components to keep. They are those of the largest λ of the path at which at least this
            number survives; the smallest ones are left out if there are more.
        weighting: That of the path.
        device: See `factorize`.

    Returns:
        A factorization of this rank, which passes over all features; its rows of F are in the order of the path's.

    Raises:
        ValueError: More components than any λ of the path has, or blocks that `factorize` refuses.

    Example:
        >>> from lightning_factorlens.factorization import sparsity_path
        >>> samples = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)) @ torch.eye(3).repeat(1, 5)
        >>> blocks = [Block("relu", "activation", samples, (15,))]
        >>> result = refit_components(blocks, sparsity_path(blocks, rank=5), n_components=3)
        >>> result.ranks, bool(result.objective[0] < 1e-4)
        ((3,), True)
    """
    check_int("n_components", n_components, 1)
    enough = [position for position, count in enumerate(path.n_components) if count >= n_components]
    if not enough:
        raise ValueError(
            f"n_components: found {n_components}, and this path has at most {max(path.n_components, default=0)} "
            "components that are not zero. Choose a smaller number, or compute the path with a larger rank or "
            "smaller lambdas."
        )
    F = path.F[enough[-1]]
    strongest = torch.linalg.vector_norm(F, dim=1).argsort(descending=True, stable=True)[:n_components]
    survivors = F[strongest.sort().values]
    problem = CoupledProblem(blocks, weighting) if device is None else StreamedProblem(blocks, weighting, device)
    return fit(problem, [n_components], solver=_RefitHALS(), start=[survivors])
