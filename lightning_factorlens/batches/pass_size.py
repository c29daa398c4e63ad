"""How many samples pass through the model at once."""

from __future__ import annotations

from dataclasses import dataclass

#: Largest number of samples in a forward pass. A larger batch needs more memory and may change the last bits of the
#: results.
BATCH = 128


@dataclass
class PassSize:
    """The largest number of samples in a forward pass; a probe and all its copies share one.

    Example:
        >>> size = PassSize(BATCH, BATCH)
        >>> size.halve(n_failed=100), size.current, size.halve(n_failed=1)
        (True, 50, False)

    Attributes:
        unit: Size at the start. Only whole units are divided between processes, so that all divide alike.
        current: Size at present, which is halved where memory does not suffice.
        is_divisible: Whether units may be divided where there are more processes than units.
    """

    unit: int
    current: int
    is_divisible: bool = True

    def limit(self, largest: int) -> None:
        """Makes units and passes have at most ``largest`` samples, so that every unit is still one pass."""
        self.unit = min(self.unit, largest)
        self.current = min(self.current, largest)

    def halve(self, n_failed: int) -> bool:
        """Halves the size because one of ``n_failed`` samples needed too much memory.

        Returns:
            Whether that is possible.
        """
        if n_failed <= 1:
            return False
        self.current = min(self.current, n_failed) // 2
        return True
