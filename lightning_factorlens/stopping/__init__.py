"""A series of scalars in, a verdict with its reason out. Rules see only the past; their state is plain types."""

from lightning_factorlens.stopping.combine import AllOf, AnyOf, Maximise, On
from lightning_factorlens.stopping.defaults import DEFAULT_SIGNAL, default_rule
from lightning_factorlens.stopping.levelling_off import LevellingOff
from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.replay import looks_of, replay
from lightning_factorlens.stopping.risen import Risen
from lightning_factorlens.stopping.rule import Look, Rule, State, Verdict
from lightning_factorlens.stopping.schedule import AfterWarmup, AwaitAnneal, NotBefore
from lightning_factorlens.stopping.smoothed import Smoothed
from lightning_factorlens.stopping.smoothing import Smoothing
from lightning_factorlens.stopping.turning_point import TurningPoint

__all__ = [
    "DEFAULT_SIGNAL",
    "AfterWarmup",
    "AllOf",
    "AnyOf",
    "AwaitAnneal",
    "LevellingOff",
    "Look",
    "Maximise",
    "NotBefore",
    "On",
    "Patience",
    "Risen",
    "Rule",
    "Smoothed",
    "Smoothing",
    "State",
    "TurningPoint",
    "Verdict",
    "default_rule",
    "looks_of",
    "replay",
]
