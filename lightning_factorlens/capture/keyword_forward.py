"""Calls of a model as ``model(**batch)``, where the batch is a dictionary and ``forward`` has such parameters."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from lightning_factorlens._private_api.wrapped_modules import unwrapped_module
from lightning_factorlens.batches.batch import Batch
from lightning_factorlens.batches.batch_objects import clone
from lightning_factorlens.batches.find_inputs import Inputs, find_inputs
from lightning_factorlens.batches.tree import tree_map
from lightning_factorlens.capture.forward_fn import ForwardFn
from lightning_factorlens.capture.forward_gradients import lacks_gradients
from lightning_factorlens.isolation.isolation import isolate_model

#: Keys of labels, which are not passed where ``forward`` does without them.
LABEL_KEYS = ("labels", "label", "target", "targets", "y")
#: Samples with which a call is tried.
TRIAL_SAMPLES = 4


@dataclass(frozen=True)
class KeywordForward:
    """Calls a model with some entries of a dictionary.

    Example:
        >>> import torch
        >>> call = KeywordForward(("x1", "x2"))
        >>> batch = {"x1": torch.rand(2, 3), "x2": torch.rand(2, 3), "label": torch.zeros(2)}
        >>> tuple(call(nn.CosineSimilarity(), batch).shape)
        (2,)

    Attributes:
        keys: Keys of the entries.
        is_spread: Whether each entry is a keyword argument; otherwise the dictionary itself is the only argument.
    """

    keys: tuple[str, ...]
    is_spread: bool = True

    def select(self, batch: Any) -> Any:
        """The entries of a batch that the model receives, in a dictionary of the same class."""
        entries = dictionary_of(batch)
        if entries is None:
            raise TypeError(f"batch: must be a dictionary or begin with one, found {type(batch).__name__}.")
        if type(entries) is dict:
            return {key: entries[key] for key in self.keys}
        selected: Any = copy.copy(entries)
        for key in list(entries):
            if key not in self.keys:
                del selected[key]
        return selected

    def __call__(self, model: nn.Module, batch: Any) -> Any:
        """Calls the model."""
        selected = self.select(batch)
        if self.is_spread:
            return model(**selected)
        return model(selected)

    def inputs(self, batch: Any) -> Inputs:
        """The tensor of the selected entries that counts as the input."""
        return find_inputs(self.select(batch))

    @property
    def text(self) -> str:
        """The call in words."""
        if not self.is_spread:
            return f"model(batch), with {', '.join(self.keys)}"
        return f"model({', '.join(f'{key}=…' for key in self.keys)})"


def dictionary_of(batch: Any) -> Mapping[str, Any] | None:
    """The dictionary in a batch: the batch itself, or its first part; None if there is none with names as its keys.

    Args:
        batch: As a loader collates it.

    Returns:
        The object itself.

    Example:
        >>> dictionary_of(({"image": 1}, 0)), dictionary_of([0, 1])
        ({'image': 1}, None)
    """
    if isinstance(batch, (tuple, list)) and len(batch):
        batch = batch[0]
    is_named = isinstance(batch, Mapping) and len(batch) and all(isinstance(key, str) for key in batch)
    return batch if is_named else None


def trial_samples(batch: Any) -> Any:
    """A few samples of a batch.

    Args:
        batch: As a loader collates it.

    Returns:
        At most `TRIAL_SAMPLES` samples; the batch itself where it cannot be cut.

    Example:
        >>> import torch
        >>> len(trial_samples({"image": torch.rand(9, 3)})["image"])
        4
    """
    try:
        wrapped = Batch.wrap(batch)
    except TypeError:  # a batch without inputs
        return batch
    if not wrapped.is_cuttable or len(wrapped) <= TRIAL_SAMPLES:
        return batch
    return wrapped[:TRIAL_SAMPLES].data


def infer_forward_fn(
    model: nn.Module,
    data: Any,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
    run: Callable[[ForwardFn, Any], object] | None = None,
) -> KeywordForward | None:
    """Finds out whether a model is to be called with the entries of a dictionary.

    It is where the keys of the batch are parameters of ``forward``, or ``forward`` takes any keywords. Labels are left
    out if ``forward`` does without them. A model whose only parameter is no key receives the inputs alone, or the
    dictionary if it fails on them. The calls are tried on a few samples, with the model left as found.

    Args:
        model: The model.
        data: A few samples, as a loader collates them and on the model's device; see `trial_samples`.
        context: Makes the context of the calls.
        run: Calls the model by a function of the model and a batch; None to call that function directly.

    Returns:
        The first call that works; None to call the model on the tensor of inputs, as without a dictionary.

    Example:
        >>> import torch
        >>> batch = {"x1": torch.rand(2, 3), "x2": torch.rand(2, 3), "label": torch.zeros(2)}
        >>> infer_forward_fn(nn.CosineSimilarity(), batch)
        KeywordForward(keys=('x1', 'x2'), is_spread=True)
    """
    entries = dictionary_of(data)
    if entries is None:
        return None
    try:
        parameters = list(inspect.signature(unwrapped_module(model).forward).parameters.values())
        inputs = find_inputs(entries)
    except (TypeError, ValueError):  # a forward without a signature, or a batch without inputs
        return None
    run = run or (lambda forward_fn, batch: forward_fn(model, batch))
    for call in _candidates(parameters, entries):
        if call.is_spread and _is_inputs_alone(call, parameters, entries, inputs):
            return None
        if not call.is_spread and _works(model, partial(run, lambda net, _: net(inputs)), data, context):
            return None
        if _works(model, partial(run, call), data, context):
            return call
    return None


def _candidates(parameters: list[inspect.Parameter], entries: Mapping[str, Any]) -> Iterator[KeywordForward]:
    """The calls that the signature of ``forward`` allows, those without labels first."""
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    required = {p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    matching = [key for key in entries if key in named]
    without_labels = [key for key in entries if key not in LABEL_KEYS or key in required]
    tensors = [key for key in without_labels if isinstance(entries[key], Tensor)]
    found = []
    if required.issubset(matching):
        if takes_any:
            found += [without_labels, tensors]
        found += [[key for key in matching if key in without_labels], matching]
        if takes_any:
            found.append(list(entries))
    elif len(required) == 1 and not takes_any:
        for keys in (without_labels, list(entries)):
            yield KeywordForward(tuple(keys), is_spread=False)
    tried = []
    for keys in found:
        if keys and keys not in tried:
            tried.append(keys)
            yield KeywordForward(tuple(keys))


def _is_inputs_alone(
    call: KeywordForward, parameters: list[inspect.Parameter], entries: Mapping[str, Any], inputs: Inputs
) -> bool:
    """Whether a call does the same as one on the tensor of inputs."""
    return call.keys == (parameters[0].name,) and entries[call.keys[0]] is inputs


def _works(
    model: nn.Module, call: Callable[[Any], object], data: Any, context: Callable[[], AbstractContextManager[Any]]
) -> bool:
    """Whether a call raises no error, with gradients where it needs them."""
    for gradients in (False, True):
        try:
            with isolate_model(model, gradients=gradients), context(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as of a tensor that is indexed with the name of a key
                call(tree_map(clone, data))
        except Exception as error:
            if not lacks_gradients(error):
                return False
        else:
            return True
    return False
