"""Node health in a run: the share is that of the offline tests, with a cadence, and left out where it is undecided."""

import math

import pytest
import torch
from torch import nn
from worker_processes import run_in_processes

from lightning_factorlens import FactorLens
from lightning_factorlens.measurements import NodeHealth
from lightning_factorlens.visualization.node_health import node_health


def make_model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(True), nn.Flatten(), nn.Linear(8 * 36, 6), nn.ReLU(), nn.Linear(6, 2)
    )
    model[0].bias.data[:3] = -100.0
    return model


def test_the_shares_are_those_of_the_offline_tests_at_every_nth_observation():
    images = torch.rand(700, 1, 8, 8)
    lens = FactorLens(make_model(), measurements=[NodeHealth(every=2, rate=0.01)])
    records = [lens.observe(images, epoch).get("node_health") for epoch in range(3)]
    offline = node_health(make_model(), images, ["1", "4"])
    assert records[1] is None and records[0] == records[2]
    assert records[0]["1"] == offline["1"].flagged_share >= 3 / 8
    n_flagged = sum(len(offline[name].units("dead", "rare", "single pixel")) for name in ("1", "4"))
    assert records[0]["total"] == pytest.approx(n_flagged / 14)


def test_a_probe_that_is_too_small_gives_a_note_instead():
    images = torch.rand(200, 1, 8, 8)
    observation = FactorLens(make_model(), measurements=[NodeHealth(rate=0.01)]).observe(images)
    assert "node_health" not in observation
    assert "no node health: 200 samples; '1' needs 508, or a larger rate" in observation.notes
    adapted = FactorLens(make_model(), measurements=[NodeHealth()]).observe(images)["node_health"]
    assert adapted["1"] >= 3 / 8 and not math.isnan(adapted["total"])


def _observe(process_group):
    torch.manual_seed(1)
    lens = FactorLens(make_model(), measurements=[NodeHealth()], process_group=process_group)
    with process_group.synchronized_errors():
        return dict(lens.observe(torch.rand(300, 1, 8, 8))["node_health"].by_scope)


@pytest.mark.slow
def test_processes_share_the_passes(tmp_path):
    torch.manual_seed(1)
    alone = FactorLens(make_model(), measurements=[NodeHealth()]).observe(torch.rand(300, 1, 8, 8))["node_health"]
    assert run_in_processes(_observe, 2, tmp_path) == [dict(alone.by_scope)] * 2


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="every: must be a whole number"):
        NodeHealth(every=0)
    with pytest.raises(ValueError, match="rate: must be a number above 0 and below 1, found 2"):
        NodeHealth(rate=2)
