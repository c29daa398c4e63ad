"""Weight matrices of modules that are neither convolutions, linear layers nor attentions."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.utils import parametrize

from lightning_factorlens.capture.module_names import layer_class

#: Parts of names of parameters with three axes that are no weights: embeddings, tokens and biases.
_NOT_WEIGHTS = ("bias", "embed", "mask", "pos", "query", "queries", "scale", "token")


def other_weights(module: nn.Module) -> Iterator[tuple[str, object, Tensor]]:
    """The weight matrices of a recurrent layer, a bilinear layer, GPT-2's ``Conv1D``, experts or a layer of one's own.

    A module that is not of ``torch.nn`` has those of its own parameters that look like weights: one called ``weight``
    with two axes, and stacks of matrices, shape (experts, rows, columns), as mixtures of experts have them. A stack of
    one, and one whose name says that it is an embedding, a token or a bias, is left out.

    Args:
        module: The module.

    Yields:
        Suffix of the layer's name, the object whose identity identifies a shared weight, and the weight: (out, in), or
        (matrices, rows, columns). The gates of a recurrent layer are one matrix, (gates · hidden, in).

    Example:
        >>> for suffix, _, weight in other_weights(nn.LSTM(3, 5)):
        ...     print(suffix, tuple(weight.shape))
        .weight_ih_l0 (20, 3)
        .weight_hh_l0 (20, 5)
    """
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        for name in _recurrent_names(module):
            yield f".{name}", _identity(module, name), getattr(module, name)
    elif isinstance(module, nn.Bilinear):
        yield "", _identity(module, "weight"), module.weight.flatten(1)
    elif _is_transposed_linear(module):
        weight = module.weight
        assert isinstance(weight, Tensor)
        yield "", _identity(module, "weight"), weight.T
    elif not _is_from_torch(module):
        for name in _tensor_names(module):
            value = getattr(module, name)
            if _is_matrix(name, value):
                yield "" if name == "weight" else f".{name}", _identity(module, name), value


def _is_from_torch(module: nn.Module) -> bool:
    kind = layer_class(module)
    if parametrize.is_parametrized(module):  # whose class torch has derived from the original one
        kind = kind.__mro__[1]
    return kind.__module__.startswith("torch.")


def _tensor_names(module: nn.Module) -> list[str]:
    """Names of the module's own parameters, plain and parametrized."""
    names = [name for name, _ in module.named_parameters(recurse=False)]
    if parametrize.is_parametrized(module):
        parametrizations = module.parametrizations
        assert isinstance(parametrizations, nn.ModuleDict)
        names.extend(parametrizations)
    return names


def _recurrent_names(module: nn.RNNBase | nn.RNNCellBase) -> list[str]:
    """Names of the weight matrices, e.g. ``weight_ih_l0``, and ``weight_hr_l0`` where the output is projected."""
    if isinstance(module, nn.RNNCellBase):
        return ["weight_ih", "weight_hh"]
    names = []
    for layer in range(module.num_layers):
        for direction in ("", "_reverse"):
            for kind in ("ih", "hh", "hr"):
                name = f"weight_{kind}_l{layer}{direction}"
                if hasattr(module, name):
                    names.append(name)
    return names


def _identity(module: nn.Module, name: str) -> object:
    """The parameter; the module where the weight is a new tensor at each access, as a parametrized one is."""
    value = getattr(module, name)
    if isinstance(value, nn.Parameter):
        return value
    return module


def _is_transposed_linear(module: nn.Module) -> bool:
    """Recognises ``transformers.pytorch_utils.Conv1D``, a linear layer with the weight (in, out), by its name."""
    is_named_so = any(kind.__name__ == "Conv1D" for kind in type(module).__mro__)
    weight = getattr(module, "weight", None)
    return is_named_so and hasattr(module, "nf") and isinstance(weight, Tensor) and weight.ndim == 2


def _is_matrix(name: str, value: Tensor) -> bool:
    if nn.parameter.is_lazy(value):
        return False
    if value.ndim == 2:
        return name == "weight" and min(value.shape) > 1
    if value.ndim != 3 or min(value.shape) < 2:
        return False
    return not any(part in name.lower() for part in _NOT_WEIGHTS)
