"""One layer through the lens: what the functions of the hierarchy show, for any way of calling the model."""

import torch
from small_lens import make_net, make_probe

from lightning_factorlens import FactorLens
from lightning_factorlens.hierarchy import decomposition_panels, similarity_overlay


def test_one_layer_is_shown_as_by_the_functions_also_through_a_forward_fn():
    net = make_net()
    probe = make_probe(12)
    lens = FactorLens(net, forward_fn=lambda model, batch: model(2 * batch))
    panels = lens.panels(probe, "conv", image=3)
    assert torch.equal(panels.fields, decomposition_panels(net, 2 * probe, "conv", 3).fields)
    maps = lens.projections(probe, "conv", images=[4], vectors=[0, 2]).maps
    assert torch.allclose(maps.mean((2, 3))[0], lens.signals(probe)["conv"].values[4, [0, 2]], atol=1e-6)
    overlay = lens.overlay(probe, "conv", 1, others=[2], position=(0, 0))
    assert torch.equal(overlay.maps, similarity_overlay(net, 2 * probe, "conv", 1, [2], (0, 0)).maps)
