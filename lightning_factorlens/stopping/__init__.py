"""Stopping rules: a series of scalars in, a decision with its reason out.

Rules read only past values, and their states consist of plain types. Importing this package loads neither torch nor
lightning; only `lightning_factorlens.stopping.lr_lookahead`, which simulates schedulers, and
`lightning_factorlens.stopping.run_advice`, which reads histories, need torch.
"""

from lightning_factorlens.stopping.combine import AllOf, AnyOf, Maximize, OnMetric
from lightning_factorlens.stopping.defaults import (
    DEFAULT_MONITOR,
    DEFAULT_MONITORS,
    annealing_rule,
    default_monitor,
    default_rule,
)
from lightning_factorlens.stopping.generalization_loss import GeneralizationLoss
from lightning_factorlens.stopping.mann_kendall import MannKendall
from lightning_factorlens.stopping.patience import Patience
from lightning_factorlens.stopping.plateau import Plateau
from lightning_factorlens.stopping.probability import BestEpochBehind
from lightning_factorlens.stopping.replay import epoch_infos, replay
from lightning_factorlens.stopping.rule import Decision, EpochInfo, Rule, State
from lightning_factorlens.stopping.schedule import AfterAnnealing, AfterWarmup, MinEpochs
from lightning_factorlens.stopping.scheduled_patience import ScheduledPatience
from lightning_factorlens.stopping.smoothing import Smoothed, Smoothing

__all__ = [
    "DEFAULT_MONITOR",
    "DEFAULT_MONITORS",
    "AfterAnnealing",
    "AfterWarmup",
    "AllOf",
    "AnyOf",
    "BestEpochBehind",
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
    "ScheduledPatience",
    "Smoothed",
    "Smoothing",
    "State",
    "annealing_rule",
    "default_monitor",
    "default_rule",
    "epoch_infos",
    "replay",
]
