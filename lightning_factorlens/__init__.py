"""Measures, without labels, how well a network is learning.

Importing this package imports neither lightning nor matplotlib; the names below are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning_factorlens.callbacks.factorlens_callback import FactorLensCallback
    from lightning_factorlens.callbacks.label_free_stopping import LabelFreeStopping
    from lightning_factorlens.capture.forward_fn import ForwardArgs
    from lightning_factorlens.capture.outputs import Outputs
    from lightning_factorlens.config import LensOptions, TensorBoardOptions
    from lightning_factorlens.lens import FactorLens
    from lightning_factorlens.loggers.frames import to_frame
    from lightning_factorlens.loggers.json_lines import JSONLinesSink, read_jsonl, write_jsonl
    from lightning_factorlens.measurements import default_measurements
    from lightning_factorlens.report.writing import write_report

__version__ = "0.1.0"
__all__ = [
    "FactorLens",
    "FactorLensCallback",
    "ForwardArgs",
    "JSONLinesSink",
    "LabelFreeStopping",
    "LensOptions",
    "Outputs",
    "TensorBoardOptions",
    "__version__",
    "default_measurements",
    "read_jsonl",
    "to_frame",
    "write_jsonl",
    "write_report",
]

_MODULES = {
    "FactorLensCallback": "callbacks.factorlens_callback",
    "LabelFreeStopping": "callbacks.label_free_stopping",
    "FactorLens": "lens",
    "LensOptions": "config",
    "ForwardArgs": "capture.forward_fn",
    "Outputs": "capture.outputs",
    "TensorBoardOptions": "config",
    "default_measurements": "measurements",
    "JSONLinesSink": "loggers.json_lines",
    "read_jsonl": "loggers.json_lines",
    "write_jsonl": "loggers.json_lines",
    "to_frame": "loggers.frames",
    "write_report": "report.writing",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
