"""Samplers, loaders with their worker processes, and values of a ``multiprocessing.Manager``."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from multiprocessing.managers import BaseProxy
from typing import Any

from torch.utils.data import DataLoader


def wrapped_sampler(dataset: Any) -> Any:
    """The user's sampler that lightning wrapped as the dataset of a ``DistributedSampler``; None for other datasets."""
    return getattr(dataset, "_sampler", None)


def iterates_by_itself(loader: DataLoader[Any]) -> bool:
    """Whether a subclass of ``DataLoader`` iterates in a way of its own, not as its parts tell."""
    kind = type(loader)
    return kind.__iter__ is not DataLoader.__iter__ or kind._get_iterator is not DataLoader._get_iterator


def shutdown_workers(iterator: Any) -> None:
    """Ends the worker processes of the iterator of a ``DataLoader``, without waiting for it to be garbage."""
    iterator._shutdown_workers()


def replace_manager_calls(make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces, in this process, how methods of the values of a ``multiprocessing.Manager`` are called.

    Args:
        make: Receives the function ``(proxy, method, args, kwds) → result`` of `BaseProxy`, and returns another one.
    """
    replacement = make(BaseProxy._callmethod)

    def call(proxy: BaseProxy, *args: Any, **kwargs: Any) -> Any:
        return replacement(proxy, *args, **kwargs)

    BaseProxy._callmethod = call  # type: ignore[method-assign, assignment]


def manager_value_key(proxy: BaseProxy) -> Hashable:
    """What identifies the value of a ``multiprocessing.Manager`` for which a proxy stands."""
    token: Any = proxy._token  # type: ignore[attr-defined]
    return token.address, token.id
