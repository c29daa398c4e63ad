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
    from lightning_factorlens.probing.batch import CallWith
    from lightning_factorlens.sinks.frames import to_frame
    from lightning_factorlens.sinks.records import JSONLinesSink, read_jsonl, write_jsonl

__version__ = "0.1.0"
__all__ = [
    "CallWith",
    "FactorLens",
    "FactorLensCallback",
    "JSONLinesSink",
    "LabelFreeStopping",
    "LensOptions",
    "__version__",
    "read_jsonl",
    "to_frame",
    "write_jsonl",
]

_HOMES = {
    "FactorLensCallback": "callback",
    "LabelFreeStopping": "label_free_stopping",
    "FactorLens": "lens",
    "LensOptions": "options",
    "CallWith": "probing.batch",
    "JSONLinesSink": "sinks.records",
    "read_jsonl": "sinks.records",
    "write_jsonl": "sinks.records",
    "to_frame": "sinks.frames",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
