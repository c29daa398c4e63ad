"""Pure functions of factors, outputs and curves, and the same as torchmetrics classes."""
