"""Quantities that follow from the N × N Gram matrix of the samples: SVD errors, effective rank, singular vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

#: Columns of the subspace iteration in addition to the requested ones, of which the last then converge faster.
_OVERSAMPLING = 8
#: Features that are converted to float64 at once.
_CHUNK = 2048
#: Eigenvalues up to this fraction of the largest are rounding: singular values up to the float32 eps of the largest.
#: The eigenvalues of a float64 Gram matrix have an error of about the float64 eps, 1.6 % of that.
_ROUNDING = torch.finfo(torch.float32).eps ** 2


def sample_gram(samples: Tensor, scale: float = 1.0) -> Tensor:
    """Inner products of all pairs of samples, computed and added up in float64.

    Products in float32 would lose all singular values below about 1e-3 of the largest one. On the CPU this takes 1.1 to
    1.5 times as long as they do, because half of the matrix follows from the other half.

    Args:
        samples: Shape (…, N, features), any real dtype. A few thousand features are converted at a time.
        scale: Factor of the samples.

    Returns:
        Shape (…, N, N), float64, on the samples' device, which must have float64.

    Example:
        >>> import torch
        >>> sample_gram(torch.tensor([[3.0, 4.0], [1.0, 0.0]]))
        tensor([[25.,  3.],
                [ 3.,  1.]], dtype=torch.float64)
    """
    gram = None
    is_exact = scale == 1 and samples.dtype == torch.float64
    # The pieces are converted into the same memory: new memory would have to be mapped for each of them.
    shape = (0,) if is_exact else (*samples.shape[:-1], min(_CHUNK, samples.shape[-1]))
    converted = torch.empty(shape, dtype=torch.float64, device=samples.device)
    for part in samples.detach().split(_CHUNK, -1):
        if not is_exact:
            part = converted[..., : part.shape[-1]].copy_(part)
        if scale != 1:
            part.mul_(scale)
        products = row_products(part)
        gram = products if gram is None else gram.add_(products)
    if gram is None:
        return torch.zeros(*samples.shape[:-1], samples.shape[-2], dtype=torch.float64, device=samples.device)
    return gram


def row_products(matrices: Tensor) -> Tensor:
    """X Xᵀ of a matrix or of each of a batch; infinite values and overflow give NaN or infinity without a warning.

    Args:
        matrices: Shape (…, rows, columns), float32 or float64.

    Returns:
        Shape (…, rows, rows), in the same precision.

    Example:
        >>> import torch
        >>> row_products(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
        tensor([[25.]], dtype=torch.float64)
    """
    if matrices.device.type != "cpu":
        return matrices @ matrices.mT
    # numpy recognizes the product of a matrix with its own transpose and computes only half of it.
    array = matrices.numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy(array @ array.swapaxes(-1, -2))


@torch.no_grad()
def gram_eigvalsh(grams: Tensor) -> Tensor:
    """Eigenvalues of a batch of Gram matrices, ascending, in float64.

    Args:
        grams: Positive semi-definite, shape (k, N, N).

    Returns:
        Shape (k, N), float64. Negative values, which are rounding errors, are set to 0. All NaN for a matrix that holds
        NaN or infinity; the others are not affected.

    Example:
        >>> import torch
        >>> gram_eigvalsh(torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[torch.nan, 0.0], [0.0, 1.0]]]))
        tensor([[1., 2.],
                [nan, nan]], dtype=torch.float64)
    """
    grams, finite = replace_nonfinite(grams.double())
    if grams.device.type == "cpu":
        # On the processors tried, numpy's LAPACK was a third faster than torch's.
        eigenvalues = torch.from_numpy(np.linalg.eigvalsh(grams.numpy()))
    else:
        eigenvalues = torch.linalg.eigvalsh(grams)
    return eigenvalues.clamp_min(0).masked_fill(~finite[:, None], math.nan)


def replace_nonfinite(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Replaces matrices with NaN or infinity by zeros: LAPACK rejects a whole batch if one matrix holds NaN.

    Args:
        matrices: Shape (k, rows, columns), real or complex.

    Returns:
        The matrices, the same tensor if all are finite; and which of them are, shape (k,).

    Example:
        >>> import torch
        >>> replace_nonfinite(torch.tensor([[[1.0]], [[torch.inf]]]))
        (tensor([[[1.]],
        <BLANKLINE>
                [[0.]]]), tensor([ True, False]))
    """
    finite = matrices.isfinite().flatten(1).all(1)
    if not finite.all():
        matrices = matrices.masked_fill(~finite[:, None, None], 0.0)
    return matrices, finite


def truncation_errors(eigenvalues: Tensor, ranks: Sequence[int]) -> list[float]:
    """Squared relative error of the best rank-r approximation, Σ_{k>r} σ_k² / ‖X‖².

    Eckart and Young (1936), "The approximation of one matrix by another of lower rank".

    Args:
        eigenvalues: Eigenvalues of XᵀX up to a common factor, ascending, shape (N,).
        ranks: Ranks, each at least 0.

    Returns:
        One value per rank, in the order of ``ranks``. 0 where all further singular values are at most the float32 eps
        of the largest; all NaN for a zero matrix, which has no relative error, and for one with NaN or infinity.

    Example:
        >>> import torch
        >>> truncation_errors(torch.tensor([1.0, 3.0]), ranks=(0, 1, 2))
        [1.0, 0.25, 0.0]
    """
    tail_sums = _without_rounding(eigenvalues).cumsum(0).tolist()
    N = len(tail_sums)
    total = tail_sums[-1] if tail_sums else math.nan
    errors = []
    for r in ranks:
        if not 0 < total < math.inf:
            errors.append(math.nan)
        elif r < N:
            errors.append(tail_sums[N - 1 - r] / total)
        else:
            errors.append(0.0)
    return errors


def effective_rank(eigenvalues: Tensor) -> float:
    """Exponential of the entropy of the normalized singular values.

    Roy and Vetterli (2007), "The effective rank: A measure of effective dimensionality"; Garrido, Balestriero, Najman
    and LeCun (2023), "RankMe: Assessing the downstream performance of pretrained self-supervised representations by
    their rank".

    Args:
        eigenvalues: Eigenvalues of XᵀX up to a common factor, in any order and of any shape, float64.

    Returns:
        A number from 1 to the number of eigenvalues; singular values up to the float32 eps of the largest count as 0.
        0 for a zero matrix; NaN for one that is empty or has NaN or infinity.

    Example:
        >>> import torch
        >>> round(effective_rank(torch.tensor([0.0, 1.0, 1.0])), 6)
        2.0
        >>> effective_rank(torch.zeros(3)), effective_rank(torch.tensor([1.0, torch.nan]))
        (0.0, nan)
    """
    # numpy's calls take a third of the time of torch's here.
    values = eigenvalues.detach().cpu().double().numpy().ravel()
    if not values.size or not np.isfinite(values).all():
        return math.nan
    sigma = np.sqrt(values[values > max(0.0, float(values.max()) * _ROUNDING)])
    if not sigma.size:
        return 0.0
    p = sigma / sigma.sum()
    return math.exp(-float(p @ np.log(p)))


def _without_rounding(eigenvalues: Tensor) -> Tensor:
    """The eigenvalues in float64, with those that are rounding set to 0."""
    values = eigenvalues.detach().cpu().double().clamp_min(0)
    if not values.numel():
        return values
    return values.where(~(values <= values.max() * _ROUNDING), 0.0)


def leading_eigenvectors(gram: Tensor, k: int, iterations: int = 6) -> Tensor:
    """The k leading eigenvectors of a positive semi-definite matrix, by block subspace iteration.

    Args:
        gram: Shape (N, N).
        k: Number of eigenvectors, at most N.
        iterations: Subspace iterations. When k + 8 is at least a third of N, a full eigendecomposition replaces them.

    Returns:
        Orthonormal columns, shape (N, k), in descending order of the eigenvalues.

    Example:
        >>> import torch
        >>> leading_eigenvectors(torch.diag(torch.tensor([1.0, 3.0, 2.0])), k=1).abs().T
        tensor([[0., 1., 0.]])
    """
    N = gram.shape[0]
    width = min(N, k + _OVERSAMPLING)
    if 3 * width >= N:
        return torch.linalg.eigh(gram.double())[1].flip(1)[:, :k].to(gram.dtype)
    generator = torch.Generator().manual_seed(0)
    Q = torch.randn(N, width, generator=generator, dtype=torch.float32).to(gram)
    Q[:, 0] = 1
    for _ in range(iterations):
        Q = torch.linalg.qr(gram @ Q)[0]
    S = torch.linalg.eigh(Q.T @ gram @ Q)[1]
    return (Q @ S.flip(1))[:, :k]
