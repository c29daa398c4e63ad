"""Parameters that have no values yet."""

from __future__ import annotations

from torch import nn


def check_parameter_values(model: nn.Module) -> None:
    """Refuses a model with parameters that have no values.

    Args:
        model: Any module.

    Raises:
        ValueError: Parameters on the meta device, or lazy ones that no batch has initialised.

    Example:
        >>> check_parameter_values(nn.LazyLinear(2))
        Traceback (most recent call last):
        ...
        ValueError: model: 2 parameters have no values yet (meta device or lazy), first 'weight'; run one batch \
through the model, or materialise it, before it is observed.
    """
    without_values = []
    for name, parameter in model.named_parameters():
        if parameter.is_meta or nn.parameter.is_lazy(parameter):
            without_values.append(name)
    if without_values:
        raise ValueError(
            f"model: {len(without_values)} parameters have no values yet (meta device or lazy), first "
            f"{without_values[0]!r}; run one batch through the model, or materialise it, before it is observed."
        )
