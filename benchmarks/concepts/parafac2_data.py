"""Slices for PARAFAC2: planted factors, and the layers of the network that was trained on CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.concepts.cifar import load_cifar, train_network
from lightning_factorlens.results import Block

IMAGES = 512
WIDTHS = (40, 200, 80, 500, 30, 64)
PLANTED_RANK = 5
NOISE = 0.1


@torch.no_grad()
def cifar_blocks(data_dir: Path, seed: int = 0) -> tuple[Block, ...]:
    """Test images of CIFAR-10, all ReLUs of the trained network, and the averages before its last layer."""
    images = load_cifar(data_dir)
    model = train_network(seed, images)
    probe = images.test[:IMAGES]
    outputs: dict[str, Tensor] = {"input": probe}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.ReLU, nn.Flatten)):

            def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
                outputs[name] = output

            handles.append(module.register_forward_hook(keep))
    model(probe)
    for handle in handles:
        handle.remove()
    blocks = []
    for name, output in outputs.items():
        samples = output.flatten(1)
        samples = samples[:, samples.amax(0) > 0].contiguous()
        kind = "input" if name == "input" else "activation"
        blocks.append(Block(name, kind, samples, (samples.shape[1],)))  # type: ignore[arg-type]
    return tuple(blocks)


def planted(seed: int, nonnegative: bool, N: int = 200) -> tuple[list[Block], Tensor]:
    """Slices Q_j H diag(s_j) F with noise, and F."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rank = PLANTED_RANK
    F = normal(rank, N)
    if nonnegative:
        F = F.abs() * (torch.rand(rank, N, generator=generator) < 0.5)
    F = normalize(F, dim=1)
    H = torch.eye(rank, dtype=torch.float64) + 0.5 * normal(rank, rank) / rank**0.5
    blocks = []
    for j, width in enumerate(WIDTHS):
        Q = torch.linalg.qr(normal(width, rank))[0]
        s = 0.5 + 1.5 * torch.rand(rank, generator=generator, dtype=torch.float64)
        clean = Q @ (H * s) @ F
        noise = normal(width, N)
        samples = (clean + NOISE * clean.norm() / noise.norm() * noise).T.contiguous()
        blocks.append(Block(f"layer{j}", "activation", samples, (width,), signed=True))
    return blocks, F
