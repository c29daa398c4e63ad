"""The arguments of a FactorLensCallback, as the objects that do its work see them."""

from __future__ import annotations

from typing import Protocol

from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.outputs import Outputs
from lightning_factorlens.config import LensOptions, TensorBoardOptions
from lightning_factorlens.loggers.base import Sink
from lightning_factorlens.measurements import Detail, Measurement
from lightning_factorlens.sampling.probe_batch import ProbeSource


class Settings(Protocol):
    """The checked arguments, which are attributes of the callback; see `FactorLensCallback`.

    The objects that do the callback's work receive the callback under this type, because they read its arguments when
    they need them: a user may change an attribute between the construction of the callback and ``fit``.
    """

    probe: ProbeSource | None
    probe_size: int
    resample_probe: bool
    forward_fn: ForwardFn | None
    outputs: Outputs | None
    every_n_epochs: int
    every_n_train_steps: int | None
    reuse_validation: bool | None
    measurements: tuple[Measurement, ...]
    options: LensOptions
    tensorboard: TensorBoardOptions
    sinks: tuple[Sink, ...]
    prefix: str
    detail: Detail
    max_overhead: float | None
    background: bool
    on_error: str
    verbose: bool
