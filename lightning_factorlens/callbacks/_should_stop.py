"""Stops the training."""

from __future__ import annotations

from lightning.pytorch import Trainer

from lightning_factorlens.stopping import Decision


def stop_training(trainer: Trainer, decision: Decision) -> bool:
    """Sets ``should_stop`` unless it is too early: the Trainer never resets it, while the rule may still do so.

    Args:
        trainer: The Trainer; all of its ranks call this together.
        decision: The rule's decision.

    Returns:
        Whether the training stops.
    """
    min_epochs = trainer.min_epochs or 0
    min_steps = trainer.min_steps or 0
    too_early = trainer.current_epoch + 1 < min_epochs or trainer.global_step < min_steps
    stop = decision.stop and not too_early and not trainer.fast_dev_run  # type: ignore[attr-defined]
    stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
    trainer.should_stop = trainer.should_stop or stop
    return stop
