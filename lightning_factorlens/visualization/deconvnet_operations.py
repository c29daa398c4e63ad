"""The operations for which a deconvnet has rules, by the names of their autograd nodes."""

from __future__ import annotations

from lightning_factorlens.capture.autograd_graph import NEUTRAL_OPERATIONS

#: Operations that are linear in their one operand; their backward pass is the transposed operation.
LINEAR_OPERATIONS = (NEUTRAL_OPERATIONS - {"MaskedFill", "MaskedSelect"}) | {
    "Add",
    "AdaptiveAvgPool2D",
    "AdaptiveAvgPool3D",
    "AsStrided",
    "AvgPool2D",
    "AvgPool3D",
    "ConstantPadNd",
    "CopySlices",
    "CopyBackwards",
    "Copy",
    "Expand",
    "Flip",
    "MkldnnAdaptiveAvgPool2D",
    "Mean",
    "Neg",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1D",
    "ReflectionPad2D",
    "ReflectionPad3D",
    "Repeat",
    "ReplicationPad1D",
    "ReplicationPad2D",
    "ReplicationPad3D",
    "Roll",
    "Stack",
    "Sub",
    "Sum",
    "Unfold",
    "UpsampleBicubic2D",
    "UpsampleBilinear2D",
    "UpsampleLinear1D",
    "UpsampleNearest1D",
    "UpsampleNearest2D",
    "UpsampleNearest3D",
    "UpsampleTrilinear3D",
}
#: Operations that are linear in one operand where the other ones are constant, and the operands that may vary.
BILINEAR_OPERATIONS: dict[str, tuple[int, ...]] = {
    "Addmm": (0, 1, 2),
    "Baddbmm": (0, 1, 2),
    "BatchNorm": (0,),
    "Bmm": (0, 1),
    "Convolution": (0,),
    "Div": (0,),
    "Linear": (0,),
    "Mm": (0, 1),
    "Mul": (0, 1),
    "Mv": (0, 1),
}
#: Rectifiers, and the arguments that must be 0 for them to be such.
RECTIFIERS = {"Clamp": "min", "ClampMin": "min", "Hardtanh": "min_val", "Relu": "", "Threshold": "threshold"}
#: Max poolings, and the number of their axes.
MAX_POOLINGS = {
    "AdaptiveMaxPool2D": 2,
    "AdaptiveMaxPool3D": 3,
    "MaxPool2DWithIndices": 2,
    "MaxPool3DWithIndices": 3,
}
SUPPORTED = (
    "convolutions, linear layers, batch norm with running statistics, ReLU and other rectifiers at 0 (ReLU6, "
    "clamp(min=0)), max and average pooling, sums, concatenation, padding, resizing, products with constants, and "
    "changes of shape"
)
