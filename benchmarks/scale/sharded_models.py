"""One small network, whole and sharded in every way that torch and DeepSpeed offer on a CPU, and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

#: Steps of training after each of which an observation is made.
STEPS = 3
CLASSES = 10


class Block(nn.Module):
    """Attention and a part that works on each token, as in a transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens (N, T, width) to tokens."""
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return x + self.mlp(self.norm(x))


class Net(nn.Module):
    """A convolution with a norm, two blocks of a transformer, and a linear layer."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 4, stride=4), nn.GroupNorm(4, width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (N, 3, 16, 16) to class scores."""
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.blocks(tokens).mean(1))


class Training:
    """A network and how one step of training is made.

    Args:
        model: The model that the lens observes.
        forward: Calls the model in training.
        optimizer: The optimizer.
        step: Makes a step for a loss, where that is not ``loss.backward()`` and the optimizer's ``step()``.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        forward: Callable[[Tensor], Tensor] | None = None,
        step: Callable[[Tensor], None] | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self._forward = forward or model
        self._step = step or self._plain_step

    def _plain_step(self, loss: Tensor) -> None:
        assert self.optimizer is not None
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def step(self, k: int) -> None:
        """Makes step k, on other samples in each process."""
        self.model.train()
        generator = torch.Generator().manual_seed(100 * k + rank())
        images = torch.rand(16, 3, 16, 16, generator=generator)
        classes = torch.randint(0, CLASSES, (16,), generator=generator)
        self._step(nn.functional.cross_entropy(self._forward(images), classes))

    def local_weights(self) -> dict[str, Tensor]:
        """Copies of the parts of parameters and buffers that this process holds, without those of ZeRO-3.

        The last process's parts of them have a padding of undefined values.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in [*self.model.named_parameters(), *self.model.named_buffers()]:
            part: Any = tensor.to_local() if hasattr(tensor, "to_local") else tensor
            if not hasattr(tensor, "ds_id"):
                found[name] = part.detach().clone()
        return found


def rank() -> int:
    """The rank of this process; 0 without a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def make_net() -> Net:
    """The same network every time."""
    torch.manual_seed(0)
    return Net()


def whole() -> Training:
    """The network as it is."""
    net = make_net()
    return Training(net, torch.optim.Adam(net.parameters(), 1e-2))


def _fsdp2(*units: str, mesh_shape: tuple[int, ...] = ()) -> Training:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    net = make_net()
    names = ("replicate", "shard")[-len(mesh_shape) :] if mesh_shape else ("shard",)
    mesh = init_device_mesh("cpu", mesh_shape or (dist.get_world_size(),), mesh_dim_names=names)
    for unit in units:
        fully_shard(net.get_submodule(unit), mesh=mesh)
    fully_shard(net, mesh=mesh)
    return Training(net, torch.optim.Adam(net.parameters(), 1e-2))


def fsdp2_blocks() -> Training:
    """``fully_shard`` of every block and of the root."""
    return _fsdp2("blocks.0", "blocks.1")


def fsdp2_root() -> Training:
    """``fully_shard`` of the root alone."""
    return _fsdp2()


def fsdp2_hybrid() -> Training:
    """``fully_shard`` on a mesh of two axes: replicas, each of which is divided between two processes."""
    return _fsdp2("blocks.0", "blocks.1", mesh_shape=(dist.get_world_size() // 2, 2))


def _fsdp1(use_orig_params: bool) -> Training:
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    net = FullyShardedDataParallel(
        make_net(),
        auto_wrap_policy=ModuleWrapPolicy({Block}),
        use_orig_params=use_orig_params,
        device_id=torch.device("cpu"),
    )
    return Training(net, torch.optim.Adam(net.parameters(), 1e-2))


def fsdp1() -> Training:
    """``FullyShardedDataParallel`` of every block and of the root, with flat parameters."""
    return _fsdp1(use_orig_params=False)


def fsdp1_original() -> Training:
    """The same with the original parameters."""
    return _fsdp1(use_orig_params=True)


def _zero(stage: int) -> Training:
    import deepspeed

    # Otherwise an operation for shared memory is compiled at the first use, which takes minutes.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    config = {
        "train_micro_batch_size_per_gpu": 16,
        # The linear layers that save memory round in another way than torch's.
        "zero_optimization": {
            "stage": stage,
            "stage3_param_persistence_threshold": 100,
            "memory_efficient_linear": False,
        },
        "zero_allow_untested_optimizer": True,
    }
    net = make_net()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    engine, *_ = deepspeed.initialize(model=net, optimizer=optimizer, config=config)

    def step(loss: Tensor) -> None:
        engine.backward(loss)
        engine.step()

    return Training(engine.module, None, engine, step)


def zero1() -> Training:
    """DeepSpeed with divided states of the optimizer."""
    return _zero(1)


def zero2() -> Training:
    """DeepSpeed with divided gradients."""
    return _zero(2)


def zero3() -> Training:
    """DeepSpeed with divided parameters."""
    return _zero(3)


#: Every way, by name.
WAYS: dict[str, Callable[[], Training]] = {
    "FSDP2, each block": fsdp2_blocks,
    "FSDP2, root alone": fsdp2_root,
    "FSDP2, hybrid": fsdp2_hybrid,
    "FSDP1, flat parameters": fsdp1,
    "FSDP1, original parameters": fsdp1_original,
    "ZeRO-1": zero1,
    "ZeRO-2": zero2,
    "ZeRO-3": zero3,
}
