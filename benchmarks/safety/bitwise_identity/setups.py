"""The set-ups, chosen so that any two settings of different kinds occur together in at least one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

from benchmarks.safety.bitwise_identity.models import FAMILIES

#: Every kind of setting and its values, the default first.
KINDS: dict[str, tuple[Any, ...]] = {
    "model": tuple(FAMILIES),
    "precision": ("32-true", "bf16-mixed", "bf16-true", "64-true"),
    "compile": ("no", "net, aot_eager", "whole, aot_eager", "net, inductor"),
    "optimizer": ("sgd", "adam", "adamw", "lbfgs"),
    "schedule": ("none", "step", "one cycle", "plateau"),
    "validation": ("every epoch", "every 2 epochs", "twice an epoch", "none"),
    "augmentation": ("none", "torch", "numpy", "python"),
    "averaging": ("none", "ema", "swa"),
    "lens": ("one", "two and a stop", "every 2 steps", "resampled"),
    "accumulate": (1, 2),
    "workers": (0, 2),
    "devices": (1, 2),
    "resume": (False, True),
}
#: Settings that make a set-up slow, with a penalty: they are used only where a missing pair needs them.
SLOW = {("compile", "net, inductor"): 8, ("devices", 2): 8, ("compile", "net, aot_eager"): 2, ("workers", 2): 2}


@dataclass(frozen=True)
class SetUp:
    """One way to train; see `KINDS` for the values."""

    model: str = "mlp"
    precision: str = "32-true"
    compile: str = "no"
    optimizer: str = "sgd"
    schedule: str = "none"
    validation: str = "every epoch"
    augmentation: str = "none"
    averaging: str = "none"
    lens: str = "one"
    accumulate: int = 1
    workers: int = 0
    devices: int = 1
    resume: bool = False

    def __str__(self) -> str:
        default = SetUp()
        words = [self.model]
        for kind in fields(self)[1:]:
            value = getattr(self, kind.name)
            if value != getattr(default, kind.name):
                words.append("resumed" if kind.name == "resume" else f"{kind.name} {value}")
        return ", ".join(words)

    def pairs(self) -> set[frozenset[tuple[str, Any]]]:
        """All pairs of settings of this set-up."""
        return {frozenset(p) for p in combinations([(f.name, getattr(self, f.name)) for f in fields(self)], 2)}


def possible(s: SetUp) -> bool:
    """Whether torch and Lightning can train a set-up, with or without a lens."""
    impossible = (
        # Manual optimisation: Lightning accumulates nothing and averages no two optimizers; LBFGS wants a closure.
        s.model == "gan" and (s.accumulate > 1 or s.averaging == "swa" or s.optimizer == "lbfgs"),
        s.model == "gan" and s.schedule == "plateau",
        s.model == "channels last" and s.optimizer == "lbfgs",  # LBFGS wants gradients that are contiguous
        s.compile == "net, inductor" and s.model not in ("mlp", "cnn"),  # half a minute each
        s.compile.startswith("whole") and s.devices > 1,  # Lightning compiles DDP around it, see its docs
        s.compile != "no" and s.averaging != "none",  # Lightning copies the module to average it
    )
    return not any(impossible)


def every_pair() -> tuple[SetUp, ...]:
    """Set-ups in which every possible pair of settings occurs, found greedily.

    Each set-up starts from one missing pair and takes, for every further kind, the setting that covers the most missing
    pairs.
    """
    everything = [(kind, value) for kind, values in KINDS.items() for value in values]
    missing = {frozenset(p) for p in combinations(everything, 2) if p[0][0] != p[1][0]}
    missing = {p for p in missing if possible(replace(SetUp(), **dict(p)))}
    found: list[SetUp] = []
    while missing:
        first = min(missing, key=lambda p: sorted((k, str(v)) for k, v in p))
        chosen = dict(first)
        setup = replace(SetUp(), **chosen)
        for kind, values in KINDS.items():
            if kind not in chosen:
                options = [o for o in (replace(setup, **{kind: v}) for v in values) if possible(o)]
                setup = max(options, key=lambda o: len(o.pairs() & missing) - SLOW.get((kind, getattr(o, kind)), 0))
                chosen[kind] = getattr(setup, kind)
        missing -= setup.pairs()
        found.append(setup)
    return tuple(sorted(found, key=lambda s: tuple(str(getattr(s, f.name)) for f in fields(s))))
