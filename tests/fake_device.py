"""An accelerator that does not exist: tensors on the device "meta" whose values are computed on the CPU.

Inside `fake_device()`, operations that mix this device with the CPU fail as they would on CUDA. Operations that make
the host wait for the device, or that read the host's memory, are recorded with the line that called them.
"""

import traceback
from collections import Counter
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
#: Operations that return a value to the host, which waits for it.
SYNCHRONIZING = {
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.masked_select.default,
    aten._linalg_check_errors.default,
}
#: Operations that may have tensors of both devices as arguments.
MAY_MIX_DEVICES = {aten.copy_.default, aten._to_copy.default, aten.index.Tensor, aten.index_put_.default}
VIEW_NAMES = "view t transpose split split_with_sizes slice unbind select expand as_strided detach alias unsqueeze "
VIEW_NAMES += "squeeze permute diagonal empty empty_like new_empty _unsafe_view lift_fresh unfold"
#: Operations that launch no kernel.
VIEWS = set(VIEW_NAMES.split())


class FakeDeviceTensor(Tensor):
    """A tensor on the fake device; ``values`` is the CPU tensor with its values."""

    @staticmethod
    def __new__(cls, values):
        return Tensor._make_wrapper_subclass(
            cls, values.shape, values.stride(), values.storage_offset(), dtype=values.dtype, device=DEVICE
        )

    def __init__(self, values):
        self.values = values

    def __repr__(self):
        return f"FakeDeviceTensor({self.values})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of fake_device()")


class OperationRecord(TorchDispatchMode):
    """Runs operations on the values, counts kernel launches and records synchronizations."""

    def __init__(self):
        super().__init__()
        self.launches = 0
        self.synchronizations = Counter()

    def record_synchronization(self, what):
        """Counts it under the line of the package that called the operation."""
        frames = [f for f in traceback.extract_stack() if "/lightning_factorlens/" in f.filename]
        caller = "test"
        if frames:
            caller = f"{frames[-1].filename.split('/lightning_factorlens/')[-1]}:{frames[-1].lineno}"
        self.synchronizations[f"{caller} {what}"] += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        assert not any(t.is_meta and not isinstance(t, FakeDeviceTensor) for t in tensors), f"{func}: values were lost"
        on_device = [t for t in tensors if isinstance(t, FakeDeviceTensor)]
        on_host = [t for t in tensors if not isinstance(t, FakeDeviceTensor)]
        target = kwargs.get("device") and torch.device(kwargs["device"])
        to_device = target is not None and target.type == DEVICE.type
        if on_device and func not in MAY_MIX_DEVICES and any(t.ndim for t in on_host):
            raise RuntimeError(f"Expected all tensors to be on the same device: {func}, {[t.shape for t in tensors]}")
        if on_device or to_device:
            self._record(func, args, kwargs, on_device, on_host, to_device, target)
        if to_device:
            kwargs["device"] = torch.device("cpu")
        args, kwargs = tree_map(lambda t: t.values if isinstance(t, FakeDeviceTensor) else t, (args, kwargs))
        result = func(*args, **kwargs)
        moves_to_host = func is aten._to_copy.default and target is not None and not to_device
        stays_on_device = on_device and not moves_to_host
        if func is aten.copy_.default:
            stays_on_device = isinstance(tensors[0], FakeDeviceTensor)
        if not stays_on_device and not to_device:
            return result
        known = {id(t.values): t for t in on_device}
        return tree_map(lambda t: known.get(id(t)) if id(t) in known else _wrap(t), result)

    def _record(self, func, args, kwargs, on_device, on_host, to_device, target):
        name = func._schema.name.split("::")[1]
        self.launches += name not in VIEWS
        if func in SYNCHRONIZING:
            self.record_synchronization(name)
        elif (func is aten.copy_.default and on_device and on_host) or (
            func is aten._to_copy.default and target is not None and to_device != bool(on_device)
        ):
            self.record_synchronization("copied between devices")
        elif func is aten.index.Tensor and any(t is not None and t.dtype == torch.bool for t in args[1]):
            self.record_synchronization("mask as index")
        elif func is aten.index.Tensor and any(t is not None and not isinstance(t, FakeDeviceTensor) for t in args[1]):
            self.record_synchronization("index on the host")
        elif func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None:
            self.record_synchronization("repeat_interleave")


class _FunctionMode(TorchFunctionMode):
    """Handles what does not reach the dispatcher: `torch.tensor` on the device, a list as index, `tolist`."""

    def __init__(self, record):
        super().__init__()
        self.record = record

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device).type == DEVICE.type:
            del kwargs["device"]
            return func(*args, **kwargs).to(DEVICE)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        if func is Tensor.tolist and isinstance(args[0], FakeDeviceTensor):
            self.record.record_synchronization("tolist")
            return args[0].values.tolist()
        return func(*args, **kwargs)


def _wrap(result):
    is_plain = isinstance(result, Tensor) and not isinstance(result, FakeDeviceTensor)
    return FakeDeviceTensor(result) if is_plain else result


def to_fake_device(tensor):
    """Copies a tensor to the fake device."""
    return FakeDeviceTensor(tensor.clone())


@contextmanager
def fake_device():
    """Makes the fake device available; yields the `OperationRecord`."""
    record = OperationRecord()
    with record, _FunctionMode(record):
        yield record
