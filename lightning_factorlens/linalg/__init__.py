"""Numerical building blocks that take tensors and return tensors.

- ``initialization``: initial values of the sample factor.
- ``nnls``: non-negative least squares by coordinate descent (HALS); ``nnls_admm`` and ``nnls_triton`` solve the same
  problem on accelerators, and ``nnls_dispatch`` chooses among the three.
- ``packing``: groups of components of different sizes in tiles of one size, so that batched products apply.
- ``singular_vectors``: the singular vectors of a layer's unfolded weight.
- ``svd``: quantities that follow from the eigenvalues and eigenvectors of a Gram matrix.
- ``threads``: a limit on the number of CPU threads while many small products are computed.
- ``unfolding``: a layer's weight as matrices.

Import the functions from these modules. The package itself imports nothing.
"""
