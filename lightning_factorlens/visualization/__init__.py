"""What a unit of a network responds to, as images: a model in, image tensors out; nothing here writes files."""

from lightning_factorlens.visualization.feature_visualization import visualize
from lightning_factorlens.visualization.leading_vectors import leading_vectors
from lightning_factorlens.visualization.objective_base import Objective, Term, WeightedSum
from lightning_factorlens.visualization.objectives import Channel, Direction, Logit, Neuron, SingularVector
from lightning_factorlens.visualization.optimizers import Adam, NormalizedAscent, Optimizer
from lightning_factorlens.visualization.parametrizations import Fourier, MagnitudeConstrained, Parametrization, Pixels
from lightning_factorlens.visualization.settings import Settings, preset
from lightning_factorlens.visualization.transforms import Jitter, Pad, Rotate, Scale, Transform

__all__ = [
    "Adam",
    "Channel",
    "Direction",
    "Fourier",
    "Jitter",
    "Logit",
    "MagnitudeConstrained",
    "Neuron",
    "NormalizedAscent",
    "Objective",
    "Optimizer",
    "Pad",
    "Parametrization",
    "Pixels",
    "Rotate",
    "Scale",
    "Settings",
    "SingularVector",
    "Term",
    "Transform",
    "WeightedSum",
    "leading_vectors",
    "preset",
    "visualize",
]
