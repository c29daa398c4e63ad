"""Watch, without labels, how well a network is learning.

Importing this package imports neither lightning nor matplotlib; the names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_factorlens.callback import FactorLensCallback
    from lightning_factorlens.label_free_stopping import LabelFreeStopping
    from lightning_factorlens.lens import FactorLens
    from lightning_factorlens.options import LensOptions

__version__ = "0.1.0"
__all__ = ["FactorLens", "FactorLensCallback", "LabelFreeStopping", "LensOptions", "__version__"]

_HOMES = {
    "FactorLensCallback": "callback",
    "LabelFreeStopping": "label_free_stopping",
    "FactorLens": "lens",
    "LensOptions": "options",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
