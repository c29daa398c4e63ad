"""What a unit of a network responds to, as images: a model in, image tensors out; nothing here writes files."""

from lightning_factorlens.visualization.deconvnet import deconvnet
from lightning_factorlens.visualization.deconvnet_rules import UnsupportedOperationError
from lightning_factorlens.visualization.feature_maps import feature_maps
from lightning_factorlens.visualization.feature_visualization import visualize
from lightning_factorlens.visualization.leading_vectors import leading_vectors
from lightning_factorlens.visualization.node_health import node_health
from lightning_factorlens.visualization.node_importance import node_importance
from lightning_factorlens.visualization.objective_base import Objective, Term, WeightedSum
from lightning_factorlens.visualization.objectives import Channel, Direction, Logit, Neuron, SingularVector
from lightning_factorlens.visualization.optimizers import Adam, NormalizedAscent, Optimizer
from lightning_factorlens.visualization.parametrizations import Fourier, MagnitudeConstrained, Parametrization, Pixels
from lightning_factorlens.visualization.settings import Settings, preset
from lightning_factorlens.visualization.transforms import Jitter, Pad, Rotate, Scale, Transform
from lightning_factorlens.visualization.unit_spread import unit_spread
from lightning_factorlens.visualization.weight_pictures import weight_pictures

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
    "UnsupportedOperationError",
    "WeightedSum",
    "deconvnet",
    "feature_maps",
    "leading_vectors",
    "node_health",
    "node_importance",
    "preset",
    "unit_spread",
    "visualize",
    "weight_pictures",
]
