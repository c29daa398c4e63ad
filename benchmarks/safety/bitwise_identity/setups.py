"""The set-ups: so chosen that any two settings of different kinds meet in at least one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

from benchmarks.safety.bitwise_identity.models import FAMILIES

#: Every kind of setting and its values, the plainest first; ``lens`` is what watches.
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
#: What makes a set-up slow: taken only where it is needed to meet something.
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
        plain = SetUp()
        told = [(f.name, getattr(self, f.name)) for f in fields(self)]
        rest = [f"{n} {v}" if n != "resume" else "resumed" for n, v in told[1:] if v != getattr(plain, n)]
        return ", ".join([self.model, *rest])

    def pairs(self) -> set[frozenset[tuple[str, Any]]]:
        """Every two settings that meet here."""
        return {frozenset(p) for p in combinations([(f.name, getattr(self, f.name)) for f in fields(self)], 2)}


def possible(s: SetUp) -> bool:
    """Whether torch and Lightning can train so, with or without a lens."""
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
    """Greedily: the next set-up is the one, grown from a pair still missing, where most missing pairs meet."""
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
