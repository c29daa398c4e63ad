"""The default rule: its parts in their documented order."""

from lightning_factorlens.stopping import (
    AfterAnnealing,
    AfterWarmup,
    GeneralizationLoss,
    Patience,
    Smoothed,
    Smoothing,
    default_rule,
)


def test_the_default_is_smoothed_patience_after_warm_up_and_annealing():
    annealed = AfterAnnealing(Patience(10), while_waiting=GeneralizationLoss(0.1, 5))
    assert default_rule() == Smoothed(AfterWarmup(annealed, 5), Smoothing(1, 0.5))
