"""Leading eigenvectors of large positive semi-definite matrices from their products with a few vectors at a time.

Block Krylov iteration with full orthogonalization: Golub and Underwood (1977), "The block Lanczos method for computing
eigenvalues"; Musco and Musco (2015), "Randomized block Krylov methods for stronger and faster approximate singular
value decomposition". Several matrices whose products with the same vectors cost little more than those of one, such as
sums of the same terms with different weights, share one basis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

#: Vectors by which the basis of one matrix and of several grows at a time. Fewer need more products, each of which
#: reads the data once, and converge with fewer vectors.
BLOCK = 16
SHARED_BLOCK = 32
#: Vectors for each wanted eigenvalue before which one matrix is not checked, because it has never converged by then.
FIRST_CHECK = 3
#: Eigenvalues beyond the wanted ones; the distance to the last of them bounds the errors.
GUARD = 8
#: The basis has at most this fraction of N vectors.
LARGEST_BASIS = 0.25


class SharedKrylov:
    """Orthonormal columns that capture the k largest eigenvalues of each of several matrices.

    Args:
        apply: Maps orthonormal columns, shape (N, b), to their products with every matrix, shape (matrices, N, b).
            Both are float64 on the CPU; the products may have the rounding errors of float32.
        traces: The trace of every matrix, positive.
        N: Rows of every matrix.
        k: Number of eigenvalues, at most N / 8.
        tolerance: Largest error of √(1 − Σλ / trace), which is the relative error of the best approximation of rank k.
        agree: Makes a tensor equal in all processes that call `run`, which decide by it when they end.

    Example:
        >>> matrix = torch.diag(0.9 ** torch.arange(400.0, dtype=torch.float64))
        >>> krylov = SharedKrylov(lambda Q: (matrix @ Q)[None], [float(matrix.trace())], N=400, k=4, tolerance=1e-8)
        >>> (basis,) = krylov.run()
        >>> round(float((basis.T @ matrix @ basis).trace() / matrix.diagonal()[:4].sum()), 6)
        1.0
    """

    def __init__(
        self,
        apply: Callable[[Tensor], Tensor],
        traces: Sequence[float],
        N: int,
        k: int,
        tolerance: float,
        agree: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.apply = apply
        self.traces = traces
        self.k = k
        self.tolerance = tolerance
        self.agree = agree or torch.Tensor.contiguous
        self.block = SHARED_BLOCK if len(traces) > 1 else BLOCK
        self.max_columns = int(LARGEST_BASIS * N)
        self.basis = torch.empty(N, 0, dtype=torch.float64)
        self.products = torch.empty(len(traces), N, 0, dtype=torch.float64)
        self.found: dict[int, Tensor] = {}
        self.steps = 0

    def run(self) -> list[Tensor | None]:
        """Extends the basis until the error of every matrix is below the tolerance.

        Returns:
            For each matrix k orthonormal columns, shape (N, k), by descending eigenvalue; None where a quarter of N
            vectors did not suffice.
        """
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(len(self.basis), self.block, generator=generator, dtype=torch.float64)
        directions[:, 0] = 1
        while len(self.found) < len(self.traces) and self.basis.shape[1] + self.block <= self.max_columns:
            self._extend(directions)
            directions = self._next_directions(directions)
        return [self.found.get(matrix) for matrix in range(len(self.traces))]

    def _extend(self, directions: Tensor) -> None:
        """Adds the part of the directions that the basis does not contain, and its products."""
        for _ in range(2):  # once more, because the first pass leaves rounding errors of what it removes
            directions = torch.linalg.qr(directions - self.basis @ (self.basis.T @ directions))[0]
        directions = self.agree(directions)
        self.basis = torch.cat([self.basis, directions], 1)
        self.products = torch.cat([self.products, self.apply(directions)], 2)
        self.steps += 1

    def _next_directions(self, last: Tensor) -> Tensor:
        """The largest residuals of the next matrix that has not converged; ``last`` where all have."""
        n_matrices = len(self.traces)
        n_columns = self.basis.shape[1]
        is_alone = n_matrices == 1
        if is_alone and n_columns < FIRST_CHECK * self.k and n_columns + 2 * self.block <= self.max_columns:
            return self.products[0, :, -self.block :]  # spans the same directions as the residuals
        for offset in range(n_matrices):
            matrix = (self.steps + offset) % n_matrices
            if matrix in self.found:
                continue
            vectors, residual, has_converged = self._ritz(matrix)
            if not has_converged:
                columns = torch.linalg.eigh(residual.T @ residual)[1][:, -self.block :]
                return residual @ columns
            self.found[matrix] = vectors
        return last

    def _ritz(self, matrix: int) -> tuple[Tensor, Tensor, bool]:
        """Approximate eigenvectors within the basis, what the matrix maps them to outside of it, and whether to stop.

        An approximate eigenvalue θ with the residual ρ lies below its eigenvalue by at most ‖ρ‖² over the distance of θ
        to the eigenvalues that belong to the rest of the space; Parlett (1998), "The symmetric eigenvalue problem",
        section 11.7. These are taken to be at most the approximate eigenvalue at position k + 8.
        """
        products = self.products[matrix]
        projected = self.basis.T @ products
        values, rotation = torch.linalg.eigh((projected + projected.T) / 2)
        values = values.flip(0)
        n_vectors = min(max(self.k, self.block), len(values))
        rotation = rotation.flip(1)[:, :n_vectors]
        mapped = products @ rotation
        residual = mapped - self.basis @ (self.basis.T @ mapped)
        vectors = (self.basis @ rotation)[:, : self.k]
        if len(values) < self.k + GUARD:
            return vectors, residual, False
        gaps = (values[: self.k] - values[self.k + GUARD - 1]).clamp_min(1e-15 * values[0])
        missing = (residual[:, : self.k].square().sum(0) / gaps).sum() / self.traces[matrix]
        left = (1 - values[: self.k].sum() / self.traces[matrix]).clamp_min(0)
        error = missing / (2 * left.sqrt() * self.tolerance + self.tolerance**2)
        return vectors, residual, bool(self.agree(error) <= 1)
