"""Finds samples of a probe in batches of somebody else, by their values."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_factorlens.capture.kept_features import read_features

#: Entries of a sample by which candidates are found; they are then compared in whole.
KEY_ENTRIES = 64


class MatchingRows:
    """Finds the samples of a probe in batches.

    Args:
        inputs: The inputs of the probe, shape (N, …).

    Example:
        >>> images = torch.arange(12.0).view(4, 3)
        >>> rows, positions = MatchingRows(images[:2]).find(images.flip(0))
        >>> rows.tolist(), positions.tolist()
        ([2, 3], [1, 0])
    """

    def __init__(self, inputs: Tensor) -> None:
        self._inputs = inputs
        n_entries = inputs[0].numel()
        # Not evenly spaced, so that the entries do not all lie in the same columns of an image.
        generator = torch.Generator("cpu").manual_seed(0)
        drawn = torch.randint(n_entries, (min(KEY_ENTRIES, n_entries),), generator=generator, device="cpu")
        self._entries = drawn.to(inputs.device)
        self._positions: dict[bytes, list[int]] = {}
        for position, key in enumerate(self._keys(inputs)):
            self._positions.setdefault(key, []).append(position)

    def _keys(self, inputs: Tensor) -> list[bytes]:
        """Some bytes of every sample."""
        entries = read_features(inputs, self._entries).contiguous()
        flat = entries.view(torch.uint8).cpu().numpy()
        return [row.tobytes() for row in flat]

    def find(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of a batch that are samples of the probe.

        Args:
            batch: Inputs of any number of samples.

        Returns:
            Some rows of the batch, and the position in the probe of the sample with the same values, both of shape
            (n,), on the device of the probe. A row that several samples of the probe are equal to occurs several
            times.
        """
        rows: list[int] = []
        positions: list[int] = []
        inputs = self._inputs
        if batch.shape[1:] == inputs.shape[1:] and batch.dtype == inputs.dtype and batch.device == inputs.device:
            for row, key in enumerate(self._keys(batch)):
                for position in self._positions.get(key, ()):
                    rows.append(row)
                    positions.append(position)
        found_rows = torch.tensor(rows, dtype=torch.long, device=inputs.device)
        found_positions = torch.tensor(positions, dtype=torch.long, device=inputs.device)
        if not rows:
            return found_rows, found_positions
        is_equal = (batch[found_rows] == inputs[found_positions]).flatten(1).all(1)
        return found_rows[is_equal], found_positions[is_equal]
