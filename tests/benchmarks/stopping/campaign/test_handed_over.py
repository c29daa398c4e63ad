"""What the stopping study hands over at a stop: the kept epoch's weights, or an average that ends some epochs later."""

import numpy as np
import pytest
import torch

from benchmarks.stopping.campaign.average_ideas import ideas, smooth_signal
from benchmarks.stopping.campaign.average_series import average_of, running_averages
from benchmarks.stopping.campaign.handed_over import averaged, score
from benchmarks.stopping.campaign.third_candidates import PRIMARY, third_candidates
from benchmarks.stopping.replay import Candidate, Signal, outcome
from lightning_factorlens.callbacks._averaged_weights import EPOCHS_AFTER
from lightning_factorlens.callbacks._weight_average import WeightAverage
from lightning_factorlens.stopping import Patience


@pytest.fixture
def record():
    """Twelve epochs whose signal is lowest at the third; the average is a tenth better than a single epoch."""
    loss = [3.0, 2.0, 1.0, *(1.0 + 0.1 * t for t in range(1, 10))]
    accuracy = [0.1 * t for t in range(1, 4)] + [0.3] * 9
    return {
        "hidden": {"test_loss": loss, "test_accuracy": accuracy},
        "averages": {
            "polynomial": {"test_loss": [0.9 * v for v in loss], "test_accuracy": [v + 0.01 * i for i, v in enumerate(accuracy)]}
        },
        "training": {"learning_rate": [0.1] * 12},
        "signals": {"s": loss},
        "task": {"dataset": "mnist"},
    }  # fmt: skip


def test_the_average_ends_some_epochs_after_the_kept_one_and_never_after_the_stop(record):
    rule = Candidate("x", "probe", Patience(7), Signal(("s",)))
    kept = score(rule, record)
    assert kept == outcome(rule, record) and (kept.chosen, kept.stop) == (3, 10)
    for epochs_after, last in ((0, 3), (5, 8), (9, 10)):
        found = score(averaged(rule, epochs_after=epochs_after), record)
        scale = np.mean(record["hidden"]["test_loss"]) - 1.0
        assert found.regret == pytest.approx((record["averages"]["polynomial"]["test_loss"][last - 1] - 1.0) / scale)
        assert found.points == pytest.approx(-(last - 1))
        assert (found.chosen, found.stop, found.last_regret) == (kept.chosen, kept.stop, kept.last_regret)


def test_an_average_that_is_less_accurate_than_the_end_is_a_premature_stop(record):
    record["hidden"]["test_accuracy"][-3:] = [0.5] * 3
    assert score(averaged(Candidate("x", "probe", Patience(7), Signal(("s",)))), record).premature
    assert not score(averaged(Candidate("x", "probe", Patience(20), Signal(("s",)))), record).premature


def test_the_recorded_mean_stands_in_where_no_weights_were_saved(record):
    record["averages"] = {"swa": record["averages"]["polynomial"]}
    assert average_of(record, "polynomial") == record["averages"]["swa"]


def test_the_benchmarks_average_is_the_packages_and_ends_where_the_packages_does():
    weights = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    package = WeightAverage()
    for newest, average in zip(weights, running_averages(weights)):
        package.update({"w": newest})
        assert torch.allclose(package.in_place_of({"w": newest})["w"], average)
    [primary] = [candidate for candidate in third_candidates() if candidate.name == PRIMARY]
    assert (primary.average, primary.epochs_after) == ("polynomial", EPOCHS_AFTER)
    names = [candidate.name for candidate in third_candidates()]
    assert len(set(names)) == len(names)


def test_ideas_weigh_the_epochs_that_they_name():
    class Run:
        learning_rate = np.array([1.0] * 10 + [0.25] * 10)

    signal = np.array([np.nan, *np.linspace(2.0, 1.0, 9), *np.linspace(1.1, 2.0, 10)])
    found = ideas(Run(), signal, kept=10, stop=20)
    assert np.flatnonzero(found["5 before to 5 after"]).tolist() == list(range(4, 15))
    assert found["polynomial / rate"][17] == pytest.approx(4 * 18**2)
    assert np.flatnonzero(found["later half"]).tolist() == list(range(9, 18))
    values, _ = smooth_signal(signal)
    assert np.isinf(values[:5]).all()
    assert found["soup, exp(−rise / (1 × jitter))"].argmax() == values.argmin()
