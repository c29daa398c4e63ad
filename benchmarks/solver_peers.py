"""The peers that are installed: one file a library, each listing the ways to call it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from benchmarks import solver_peers_nmf_torch, solver_peers_sklearn, solver_peers_tensorly, solver_peers_torchnmf
from benchmarks.solver_measure import Peer

_LIBRARIES: dict[str, Callable[[bool], list[Peer]]] = {
    "sklearn": solver_peers_sklearn.variants,
    "nmf": solver_peers_nmf_torch.variants,
    "torchnmf": solver_peers_torchnmf.variants,
    "tensorly": solver_peers_tensorly.variants,
}


def peers(quick: bool = False) -> tuple[list[Peer], list[str]]:
    """All peers whose library is installed, and a line for each that is missing."""
    found: list[Peer] = []
    missing: list[str] = []
    for module, variants in _LIBRARIES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(f"{module} is not installed: left out (pip install '.[bench]')")
            continue
        found += variants(quick)
    return found, missing
