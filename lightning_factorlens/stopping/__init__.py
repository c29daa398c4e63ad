"""A series of scalars in, a verdict with its reason out. Rules see only the past; their state is plain types."""

from lightning_factorlens.stopping.combine import AllOf, AnyOf, Maximize, OnMetric
from lightning_factorlens.stopping.defaults import DEFAULT_MONITOR, default_rule
from lightning_factorlens.stopping.levelling_off import Plateau
from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.replay import epoch_infos, replay
from lightning_factorlens.stopping.risen import GeneralizationLoss
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State
from lightning_factorlens.stopping.schedule import AfterAnnealing, AfterWarmup, MinEpochs
from lightning_factorlens.stopping.smoothed import Smoothed
from lightning_factorlens.stopping.smoothing import Smoothing
from lightning_factorlens.stopping.turning_point import MannKendall

__all__ = [
    "DEFAULT_MONITOR",
    "AfterAnnealing",
    "AfterWarmup",
    "AllOf",
    "AnyOf",
    "Decision",
    "EpochInfo",
    "GeneralizationLoss",
    "MannKendall",
    "Maximize",
    "MinEpochs",
    "OnMetric",
    "Patience",
    "Plateau",
    "Rule",
    "Smoothed",
    "Smoothing",
    "State",
    "default_rule",
    "epoch_infos",
    "replay",
]
