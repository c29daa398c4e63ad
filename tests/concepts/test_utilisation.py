"""Class-mean responses against the reconstruction and the measured activations."""

import pytest
import torch
from made_concepts import make_concepts
from small_lens import make_net, make_probe

from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import dominant_concepts, utilisation


def some_concepts(**options):
    g = torch.Generator().manual_seed(0)
    blocks = [
        ("input/0", "input", (2, 2), torch.rand(4, 3, generator=g)),
        ("conv", "activation", (6,), torch.rand(6, 3, generator=g)),
        ("dead", "activation", (5,), torch.zeros(5, 3)),
    ]
    return make_concepts(torch.rand(3, 12, generator=g), blocks, **options)


def test_responses_are_the_class_means_of_the_reconstruction():
    concepts = some_concepts()
    labels = ["a", "b", "b"] * 4
    found = utilisation(concepts, labels)
    assert found.classes == ("a", "b")
    assert found.counts.tolist() == [4, 8]
    for block in concepts.blocks:
        X = block.W @ concepts.F.double()
        layer = found[block.name]
        for c, name in enumerate(found.classes):
            chosen = [i for i, label in enumerate(labels) if label == name]
            torch.testing.assert_close(layer.neurons[:, c], X[:, chosen].mean(1))
            for k in range(3):
                part = torch.outer(block.W[:, k], concepts.F[k].double())[:, chosen].mean(1).sum()
                assert float(layer.groups[k, c]) == pytest.approx(float(part))
        torch.testing.assert_close(layer.groups.sum(0), layer.neurons.sum(0))
    torch.testing.assert_close(found["conv"].pattern.sum(0), torch.ones(2, dtype=torch.float64))
    assert found["dead"].pattern.isnan().all()
    with pytest.raises(KeyError, match="no block 'fc'"):
        found["fc"]


def test_the_weighted_mean_over_classes_is_the_mean_of_all_images():
    concepts = some_concepts()
    found = utilisation(concepts, [0, 1, 2, 3] * 3)
    mean = (found["conv"].neurons * found.counts).sum(1) / 12
    torch.testing.assert_close(mean, (concepts["conv"].W @ concepts.F.double()).mean(1))


def test_clusters_and_predictions():
    concepts = some_concepts(predictions=torch.tensor([0, 1, -1] * 4))
    assert utilisation(concepts).classes == (0, 1, None)
    clusters = utilisation(concepts, "concepts")
    assert list(clusters.classes) == sorted(set(dominant_concepts(concepts).tolist()))
    with pytest.raises(ValueError, match="classes: the model's output is not read as class scores"):
        utilisation(some_concepts())
    with pytest.raises(ValueError, match="classes: found 'labels'"):
        utilisation(some_concepts(), "labels")
    with pytest.raises(ValueError, match="classes: found 2 values for 12 images"):
        utilisation(some_concepts(), [0, 1])


def test_at_full_rank_the_response_is_the_measured_mean():
    probe = make_probe(6)
    lens = FactorLens(make_net())
    concepts = lens.concepts(probe, rank=6, fit_on="act")
    with torch.no_grad():
        net = lens.model
        activations = net.act(net.hidden(net.relu(net.conv(probe)).flatten(1))).double()
    found = utilisation(concepts, [0, 1] * 3)["act"].neurons
    for c in range(2):
        expected = activations[c::2].mean(0)
        assert float((found[:, c] - expected).norm() / expected.norm()) < 0.05
