"""Data of exact types whose reading is known to change nothing, so that they are read without another process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset, default_collate, default_convert

_VALUES = (Tensor, np.ndarray, int, float, bool, str, bytes, type(None))


def is_stateless_dataset(dataset: Any) -> bool:
    """Whether reading a sample changes nothing: tensors, lists of them, and subsets and concatenations of these.

    Only exact types count, because a subclass may do anything in ``__getitem__``.

    Example:
        >>> is_stateless_dataset([1.0, 2.0]), is_stateless_dataset(iter([1.0, 2.0]))
        (True, False)
    """
    if type(dataset) is TensorDataset:
        return all(type(tensor) is Tensor for tensor in dataset.tensors)
    if type(dataset) is Subset:
        return type(dataset.indices) in (list, tuple, range, Tensor, np.ndarray) and is_stateless_dataset(
            dataset.dataset
        )
    if type(dataset) is ConcatDataset:
        return all(is_stateless_dataset(part) for part in dataset.datasets)
    return is_stateless_value(dataset)


def is_stateless_value(value: Any) -> bool:
    """Whether a value holds nothing but tensors, arrays, numbers and text in lists, tuples and dictionaries."""
    if type(value) in _VALUES or type(value) is range:
        return not (type(value) is np.ndarray and value.dtype.hasobject)
    parts: Iterable[Any]
    if type(value) in (list, tuple):
        parts = value
    elif type(value) is dict:
        parts = value.values()
    else:
        return False
    return all(is_stateless_value(part) for part in parts)


def is_stateless_collate(collate: Callable[[Any], Any]) -> bool:
    """Whether a collate function is one of torch's own."""
    return collate is default_collate or collate is default_convert
