"""The peers whose library is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from benchmarks.solver.measure import Peer
from benchmarks.solver.peers import nmf_torch_peer, sklearn_peer, tensorly_peer, torchnmf_peer

_LIBRARIES: dict[str, Callable[[bool], list[Peer]]] = {
    "sklearn": sklearn_peer.variants,
    "nmf": nmf_torch_peer.variants,
    "torchnmf": torchnmf_peer.variants,
    "tensorly": tensorly_peer.variants,
}


def peers(quick: bool = False) -> tuple[list[Peer], list[str]]:
    """All peers whose library is installed, and a line for each library that is not."""
    found: list[Peer] = []
    missing: list[str] = []
    for module, variants in _LIBRARIES.items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(f"{module} is not installed: its peers are left out (pip install '.[bench]')")
            continue
        found += variants(quick)
    return found, missing
