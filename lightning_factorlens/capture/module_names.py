"""The modules of a model by names that do not depend on how it is trained."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from lightning_factorlens._private_api.wrapped_modules import is_wrapper, unwrapped_path


def named_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model without the wrappers of FSDP and of activation checkpointing, and their paths.

    The names of layers seed the draw of their features, so they must be the same for the whole model.

    Args:
        model: Any module.

    Yields:
        Path and module, in the order of ``named_modules()``; the path has no level of a wrapper.

    Example:
        >>> from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
        >>> model = nn.Sequential(checkpoint_wrapper(nn.Sequential(nn.Linear(3, 2))))
        >>> [path for path, _ in named_layers(model)]
        ['', '0', '0.0']
    """
    for path, module in model.named_modules():
        if not is_wrapper(module):
            yield unwrapped_path(path), module


def layer_class(module: nn.Module) -> type[nn.Module]:
    """The class of a module as its user wrote it: ``fully_shard`` replaces it by a class derived from it.

    Args:
        module: Any module.

    Example:
        >>> layer_class(nn.Linear(3, 2)).__name__
        'Linear'
    """
    kind = type(module)
    if len(kind.__bases__) == 2 and kind.__bases__[0].__name__ == "FSDPModule":
        return kind.__bases__[1]
    return kind
