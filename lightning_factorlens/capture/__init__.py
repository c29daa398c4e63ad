"""Which layers, what the model's output is, and what a forward pass computes for them; leaves the model as found.

The steps of one measurement: `probe_batch` draws the samples, `trace_layers` lists the tensors that the model computes,
`select_layers` decides which of them are captured, and `capture_activations` captures them, all inside
`isolate_model`. `weight_layers` lists the weights, `linear_layers` the modules whose output is W ⋆ X + b.
"""

from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.drawn_batch import DrawnBatch
from lightning_factorlens.batches.find_inputs import find_inputs
from lightning_factorlens.batches.probe import Probe
from lightning_factorlens.capture.activations import Capture, capture_activations, capture_batches
from lightning_factorlens.capture.forward_fn import ForwardArgs
from lightning_factorlens.capture.inputs import input_blocks
from lightning_factorlens.capture.layer_tracing import trace_layers
from lightning_factorlens.capture.linear_layers import LinearLayer, linear_layers
from lightning_factorlens.capture.selection import select_layers
from lightning_factorlens.capture.signs import Denormalize, KeepSigned, Rectify, Split, SubtractMin
from lightning_factorlens.capture.weights import weight_layers
from lightning_factorlens.isolation.isolation import isolate_model, isolate_rng
from lightning_factorlens.sampling.probe_batch import probe_batch

__all__ = [
    "Batch",
    "Capture",
    "Denormalize",
    "DrawnBatch",
    "ForwardArgs",
    "KeepSigned",
    "LinearLayer",
    "Probe",
    "Rectify",
    "Split",
    "SubtractMin",
    "capture_activations",
    "capture_batches",
    "find_inputs",
    "input_blocks",
    "isolate_model",
    "isolate_rng",
    "linear_layers",
    "probe_batch",
    "select_layers",
    "trace_layers",
    "weight_layers",
]
