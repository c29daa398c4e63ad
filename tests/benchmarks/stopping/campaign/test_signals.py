"""What the study replays is what the lens measures during training."""

from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.stopping.campaign import signals
from benchmarks.stopping.campaign.predictions import Predictions
from lightning_factorlens.metrics.consistency import consistency
from lightning_factorlens.metrics.stop_signal import (
    LEAST_DISTINCTION,
    accuracy_signal,
    distinction,
    loss_signal,
    memorization_gap,
)
from lightning_factorlens.metrics.temporal_ensemble import TemporalEnsemble

T, N, K = 6, 24, 4


def a_run():
    """Logits that become sharper from epoch to epoch, and a falling training loss."""
    generator = np.random.default_rng(0)
    base = generator.normal(size=(N, K))
    scale = np.linspace(0.05, 4, T)[:, None, None]
    plain = scale * base + generator.normal(scale=0.3, size=(T, N, K))
    shifted = plain[:, None] + generator.normal(scale=0.5, size=(T, 4, N, K))
    return SimpleNamespace(
        task=SimpleNamespace(kind="classes"),
        probe_logits=plain.astype(np.float16),
        probe_shifted=shifted.astype(np.float16),
        train_loss=np.linspace(1.2, 0.1, T).astype(np.float32),
    )


def test_the_replayed_signals_are_those_of_the_package():
    run = a_run()
    predictions = Predictions(run)
    replayed = {
        "consistency": signals.consistency(predictions),
        "gap": signals.memorization_gap(predictions),
        "loss": signals.loss_signal(predictions),
        "accuracy": signals.accuracy_signal(predictions),
    }
    ensemble = TemporalEnsemble()
    has_begun = False
    for t in range(T):
        outputs = torch.from_numpy(run.probe_logits[t]).float()
        shifted = torch.from_numpy(run.probe_shifted[t, 0]).float()
        shifted[1::2] = torch.from_numpy(run.probe_shifted[t, 1, 1::2]).float()
        labels = ensemble.update(outputs)
        training_loss = float(run.train_loss[t])
        value = loss_signal(outputs, shifted, labels, training_loss)
        has_begun = has_begun or distinction(outputs) >= LEAST_DISTINCTION
        online = {
            "consistency": consistency(outputs, shifted, labels),
            "gap": memorization_gap(outputs, training_loss),
            "loss": value if has_begun else np.nan,
            "accuracy": accuracy_signal(value, outputs, labels) if has_begun else np.nan,
        }
        for name, expected in online.items():
            np.testing.assert_allclose(replayed[name][t], expected, rtol=1e-5, atol=1e-6, err_msg=f"{name} at {t}")
    assert np.isnan(replayed["loss"][0]) and np.isfinite(replayed["loss"][-1])
