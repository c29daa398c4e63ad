"""Numerical building blocks that take tensors and return tensors.

- ``initialization``: initial values of the sample factor.
- ``nnls``: non-negative least squares by coordinate descent (HALS); ``nnls_admm`` and ``nnls_triton`` solve the same
  problem on accelerators, and ``nnls_dispatch`` chooses among the three.
- ``packing``: groups of components of different sizes in tiles of one size, so that batched products apply.
- ``svd``: quantities that follow from the eigenvalues and eigenvectors of a Gram matrix.
- ``threads``: a limit on the number of CPU threads while many small products are computed.

Import the functions from these modules. The package itself imports nothing.
"""
