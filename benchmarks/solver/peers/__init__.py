"""Other libraries' non-negative matrix factorization, one module per library, each listing the ways to call it."""
