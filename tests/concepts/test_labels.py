"""Labels, names, metadata and predictions have no influence on the factors."""

import pytest
import torch
from small_lens import make_net, make_probe
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.concepts import compare_concepts, name_concepts, utilisation


@pytest.mark.parametrize("kind", ["numbers", "words", "floats"])
def test_labels_of_any_kind_permuted_leave_every_factor_bit_for_bit_as_it_was(kind):
    images = make_probe(24)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(3))
    labels = {
        "numbers": torch.arange(24) % 3,
        "words": [f"word {i % 5}" for i in range(24)],
        "floats": torch.linspace(0, 1, 24),
    }[kind]
    permuted = labels[order] if isinstance(labels, torch.Tensor) else [labels[i] for i in order.tolist()]
    found = []
    for chosen in (labels, permuted):
        lens = FactorLens(make_net(), forward_fn=lambda model, batch: model(batch["image"]), outputs="classes")
        found.append(lens.concepts({"image": images, "label": chosen}, rank=4))
    first, second = found
    assert torch.equal(first.F, second.F)
    for a, b in zip(first.blocks, second.blocks):
        assert torch.equal(a.W, b.W)


def test_names_metadata_and_predictions_have_no_influence_on_the_factors():
    """Whatever the names are, and whatever the model's classes are called."""

    class Permuted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = make_net()

        def forward(self, x):
            return self.net(x)[:, [2, 0, 1]]  # other predictions from the same layers

    images = make_probe(24)
    first = FactorLens(make_net(), outputs="classes").concepts(images, rank=4)
    second = FactorLens(Permuted(), outputs="classes").concepts(images, rank=4)
    assert not torch.equal(first.predictions, second.predictions)
    kept = [first.F.clone(), *(block.W.clone() for block in first.blocks)]
    order = torch.randperm(24, generator=torch.Generator().manual_seed(3)).tolist()
    columns = {"number": list(range(24)), "word": ["abc"[i % 3] for i in range(24)], "gap": [None, 1.5] * 12}
    permuted = {name: [values[i] for i in order] for name, values in columns.items()}
    for names in ("predictions", None, columns, permuted, columns["word"], permuted["word"]):
        name_concepts(first, names)
        compare_concepts(first, second, names)
    utilisation(first, columns["word"])
    utilisation(first, permuted["word"])
    for a, b, c in zip(kept, [first.F, *(x.W for x in first.blocks)], [second.F, *(x.W for x in second.blocks)]):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
