"""A device that is not there: tensors that claim to be on an accelerator, with real numbers kept on the CPU.

Inside `pretended()` the device "meta" computes. Operations that mix it with the CPU fail as they would on CUDA, and
what makes the host wait for the device, or reads the host's memory, is written down with the line that asked for it.
"""

import traceback
from collections import Counter
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

THERE = torch.device("meta")
aten = torch.ops.aten
WAITS = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.masked_select.default,
    aten._linalg_check_errors.default,
}
MIXES = {aten.copy_.default, aten._to_copy.default, aten.index.Tensor, aten.index_put_.default}
VIEWS = "view t transpose split split_with_sizes slice unbind select expand as_strided detach alias unsqueeze squeeze "
VIEWS = set((VIEWS + "permute diagonal empty empty_like new_empty _unsafe_view lift_fresh unfold").split())


class Pretended(Tensor):
    """A tensor on the pretended device; ``held`` has its numbers."""

    @staticmethod
    def __new__(cls, held):
        return Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=THERE
        )

    def __init__(self, held):
        self.held = held

    def __repr__(self):
        return f"Pretended({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of pretended()")


class Record(TorchDispatchMode):
    """Runs operations on what is held, and writes down launches and waits."""

    def __init__(self):
        super().__init__()
        self.launches, self.waits = 0, Counter()

    def wait(self, what):
        """Under the line of the package that asked."""
        frames = [f for f in traceback.extract_stack() if "/lightning_factorlens/" in f.filename]
        where = f"{frames[-1].filename.split('/lightning_factorlens/')[-1]}:{frames[-1].lineno}" if frames else "test"
        self.waits[f"{where} {what}"] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        assert not any(t.is_meta and not isinstance(t, Pretended) for t in tensors), f"{func}: numbers were lost"
        there, here = ([t for t in tensors if isinstance(t, Pretended) is side] for side in (True, False))
        asked = kwargs.get("device") and torch.device(kwargs["device"])
        onto = asked is not None and asked.type == THERE.type
        if there and func not in MIXES and any(t.ndim for t in here):
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}, {[t.shape for t in tensors]}")
        if there or onto:
            self._note(func, args, kwargs, there, here, onto, asked)
        if onto:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map(lambda t: t.held if isinstance(t, Pretended) else t, (args, kwargs))
        result = func(*args, **kwargs)
        stays = there and not (func is aten._to_copy.default and asked is not None and not onto)
        if func is aten.copy_.default:
            stays = isinstance(tensors[0], Pretended)
        if not stays and not onto:
            return result
        known = {id(t.held): t for t in there}
        return tree_map(lambda t: known.get(id(t)) if id(t) in known else _held(t), result)

    def _note(self, func, args, kwargs, there, here, onto, asked):
        name = func._schema.name.split("::")[1]
        self.launches += name not in VIEWS
        if func in WAITS:
            self.wait(name)
        elif (func is aten.copy_.default and there and here) or (
            func is aten._to_copy.default and asked is not None and onto != bool(there)
        ):
            self.wait("copied across")
        elif func is aten.index.Tensor and any(t is not None and t.dtype == torch.bool for t in args[1]):
            self.wait("mask as index")
        elif func is aten.index.Tensor and any(t is not None and not isinstance(t, Pretended) for t in args[1]):
            self.wait("index on the host")
        elif func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None:
            self.wait("repeat_interleave")


class _Functions(TorchFunctionMode):
    """What reaches no dispatcher: `torch.tensor` on the device, a list as index, `tolist`."""

    def __init__(self, record):
        super().__init__()
        self.record = record

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device).type == THERE.type:
            del kwargs["device"]
            return func(*args, **kwargs).to(THERE)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        if func is Tensor.tolist and isinstance(args[0], Pretended):
            self.record.wait("tolist")
            return args[0].held.tolist()
        return func(*args, **kwargs)


def _held(result):
    plain = isinstance(result, Tensor) and not isinstance(result, Pretended)
    return Pretended(result) if plain else result


def send(tensor):
    """A copy of a tensor on the pretended device."""
    return Pretended(tensor.clone())


@contextmanager
def pretended():
    """Makes the device compute; yields the `Record`."""
    record = Record()
    with record, _Functions(record):
        yield record
