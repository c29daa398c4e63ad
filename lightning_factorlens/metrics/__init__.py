"""Pure functions of factors, outputs and curves, and torchmetrics classes that compute the same values."""
