"""The description of what an observation is made of and with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import fields
from textwrap import shorten

from lightning_factorlens import __version__
from lightning_factorlens.config import LensOptions
from lightning_factorlens.measurements.base import Measurement
from lightning_factorlens.measurements.context import Context
from lightning_factorlens.results import LayerInfo, Setup

#: Options that the setup names apart from the others: the layers by those that were found, the ranks by those used.
NAMED_APART = ("layers", "ranks")
#: The place of an object in memory, which differs between two objects that are otherwise equal.
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
#: Largest number of characters of the text of an option.
MAX_TEXT = 200


def observation_setup(context: Context, layers: Sequence[LayerInfo], measurements: Sequence[Measurement]) -> Setup:
    """Describes what an observation is made of and with.

    Args:
        context: The context of its measurements.
        layers: The table of layers, empty where no activations are read.
        measurements: The measurements.

    Returns:
        The setup. It has no probe where the measurements read the weights alone.
    """
    needs: set[str] = set()
    texts = {}
    for measurement in measurements:
        needs |= measurement.needs
        text = _text(measurement)
        if not text.endswith("()"):
            texts[measurement.name] = text
    selected = [layer for layer in layers if layer.selected]
    reads_probe = bool(needs - {"weights"})
    probe = context.probe
    return Setup(
        version=__version__,
        model=type(context.model).__name__,
        n_samples=len(probe) if reads_probe else 0,
        sample_shape=tuple(probe.inputs.shape[1:]) if reads_probe else (),
        probe=probe.fingerprint if reads_probe else "",
        n_layers=len(selected),
        layers=_fingerprint_of_layers(selected),
        ranks=tuple(context.options.ranks) if "factorization" in needs else (),
        options=_changed_options(context.options),
        measurements=texts,
        outputs=context.output_decision.kind,
    )


def _fingerprint_of_layers(selected: Sequence[LayerInfo]) -> str:
    if not selected:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for layer in selected:
        digest.update(f"{layer.name}:{layer.shape}\n".encode())
    return digest.hexdigest()


def _changed_options(options: LensOptions) -> dict[str, str]:
    """The options that are not the default ones, as text by name."""
    changed = {}
    default = LensOptions()
    for field in fields(options):
        text = _text(getattr(options, field.name))
        if field.name not in NAMED_APART and text != _text(getattr(default, field.name)):
            changed[field.name] = text
    return changed


def _text(value: object) -> str:
    """The ``repr`` of an object without its place in memory; the name of its class where there is no ``repr``."""
    try:
        text = repr(value)
    except Exception:  # whatever the user's class raises
        text = f"{type(value).__name__}()"
    return shorten(ADDRESS.sub("", text), MAX_TEXT, placeholder=" …")
