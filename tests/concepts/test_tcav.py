"""TCAV against formulas evaluated one image at a time in float64, and against Captum where it is installed."""

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_concepts import make_concepts
from small_lens import SmallNet, make_net, make_probe
from torch import nn

from lightning_factorlens import FactorLens, LensOptions
from lightning_factorlens.concepts.top_images import top_images_of_all
from lightning_factorlens.distributed import SingleProcess

N = 12
COUNT = 3
LABELS = [0, 1, 2, 0, 1, 2, 0, 0, 1, None, 2, 1]


def some_lens(**options):
    return FactorLens(make_net(), LensOptions(**options), outputs="classes")


def one_by_one(net, images, labels, concepts, layer):
    """Sign counts, means, k_c[i] and closed form, each image and class by itself, in float64."""
    net = net.double()
    kept = {}
    handle = getattr(net, layer).register_forward_hook(lambda module, _, output: kept.update(a=output))
    activations, gradients = [], []
    for image, label in zip(images.double(), labels):
        scores = net(image[None])[0]
        activations.append(kept["a"].detach().flatten())
        score = scores.max() if label == "predictions" else scores[0 if label is None else label]
        gradients.append(torch.autograd.grad(score, kept["a"])[0].flatten())
    handle.remove()
    A, G = torch.stack(activations), torch.stack(gradients)
    block = concepts[layer]
    if block.kept_features is not None:
        A, G = A[:, block.kept_features], G[:, block.kept_features]
    signs, means, numbers, closed = [], [], [], []
    for c in range(3):
        chosen = [i for i, label in enumerate(labels) if label == c]
        gradient = G[chosen].mean(0)
        numbers.append([float(gradient @ (a - A.mean(0))) for a in A])
        for k in range(concepts.rank):
            top = concepts.F[k].argsort(descending=True, stable=True)[:COUNT]
            v = A[top].mean(0) - A.mean(0)
            signs.append(sum(float(G[i] @ v > 0) for i in chosen) / len(chosen))
            means.append(sum(float(G[i] @ v) for i in chosen) / len(chosen))
            excess = float(concepts.F[k, top].double().mean() - concepts.F[k].double().mean())
            closed.append(float(gradient @ block.W[:, k]) * excess)
    shape = (3, concepts.rank)
    return (*(torch.tensor(values, dtype=torch.float64).view(shape) for values in (signs, means, closed)), numbers)


def exact_p_value(numbers, mean):
    """The p-value from all sets of images."""
    sets = list(itertools.combinations(numbers, COUNT))
    return sum(abs(sum(chosen) / COUNT) >= abs(mean) * (1 - 1e-9) for chosen in sets) / len(sets)


@pytest.mark.parametrize("max_neurons", [None, 40])
def test_all_derivatives_are_those_of_single_images(max_neurons):
    images = make_probe(N)
    lens = some_lens(max_neurons_per_layer=max_neurons)
    concepts = lens.concepts(images, rank=3)
    result = lens.tcav(images, concepts, LABELS, count=COUNT, draws=20_000)
    assert result.layers == ("relu", "act")
    assert result.classes == (0, 1, 2)
    assert result.class_counts.tolist() == [4, 4, 3]
    for index, layer in enumerate(result.layers):
        signs, means, closed, numbers = one_by_one(make_net(), images, LABELS, concepts, layer)
        assert torch.equal(result.sign_count[index], signs)
        torch.testing.assert_close(result.mean_derivative[index], means, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(result.closed_form[index], closed, rtol=1e-5, atol=1e-7)
        for c, k in itertools.product(range(3), range(3)):
            expected = exact_p_value(numbers[c], float(means[c, k]))
            deviation = math.sqrt(expected * (1 - expected) / 20_000) + 1e-4
            assert float(result.p_value[index, c, k]) == pytest.approx(expected, abs=4 * deviation)
    assert (result.p_corrected >= result.p_value).all()


def test_the_classes_are_the_models_predictions_unless_labels_are_given():
    images = make_probe(N)
    lens = some_lens()
    concepts = lens.concepts(images, rank=2)
    result = lens.tcav(images, concepts, count=COUNT, draws=10)
    assert torch.equal(result.image_classes, concepts.predictions)
    again = lens.tcav(images, concepts, concepts.predictions, count=COUNT, draws=10)
    assert torch.equal(result.mean_derivative, again.mean_derivative)
    assert result.concept_classes == again.concept_classes


class RandomNet(SmallNet):
    """Draws from the global generator."""

    def forward(self, x):
        return super().forward(x + 0 * torch.rand(()))


def test_one_forward_pass_gives_everything_and_leaves_no_trace():
    torch.manual_seed(0)
    net = RandomNet().train()
    net.conv.weight.grad = torch.ones_like(net.conv.weight)
    net.head.weight.requires_grad_(False)
    images = make_probe(300)  # more than one pass
    lens = FactorLens(net, outputs="classes")
    concepts = lens.concepts(images, rank=4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    passed = []
    count = nn.modules.module.register_module_forward_pre_hook(
        lambda module, args: passed.append(len(args[0])) if isinstance(module, nn.Conv2d) else None
    )
    with count:
        lens.tcav(images, concepts, vectors="classifier", draws=100)
    assert sum(passed) == 300
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert (states[2] == np.random.get_state()[1]).all()
    assert net.training
    assert not net.head.weight.requires_grad
    assert torch.equal(net.conv.weight.grad, torch.ones_like(net.conv.weight))
    assert net.hidden.weight.grad is None


class Forces(SmallNet):
    """Takes gradients in its forward pass."""

    def forward(self, x):
        leaf = x.detach().requires_grad_()
        (force,) = torch.autograd.grad(self.relu(self.conv(leaf)).square().sum(), leaf)
        return super().forward(x) + force.mean((1, 2, 3))[:, None]


def test_models_that_take_gradients_and_callers_without_autograd():
    images = make_probe(N)
    torch.manual_seed(0)
    lens = FactorLens(Forces(), outputs="classes")
    with torch.inference_mode():
        result = lens.tcav(images, lens.concepts(images, rank=2), LABELS, count=COUNT, draws=10)
    plain = some_lens()
    expected = plain.tcav(images, plain.concepts(images, rank=2), LABELS, count=COUNT, draws=10)
    assert result.layers[-1] == expected.layers[-1] == "act"
    torch.testing.assert_close(result.mean_derivative[-1], expected.mean_derivative[-1], rtol=1e-5, atol=1e-7)


def test_concepts_of_random_images_are_significant_as_often_as_the_level_says():
    images = make_probe(60)
    lens = some_lens()
    concepts = lens.concepts(images, rank=2)
    F = torch.rand(2000, 60, generator=torch.Generator().manual_seed(3))
    result = lens.tcav(images, replace(concepts, rank=2000, F=F), count=8, draws=2000)
    share = float((result.p_value <= 0.05).double().mean())
    assert 0.04 <= share <= 0.06
    assert result.closed_form.isnan().all()  # these concepts have no factors of the layers
    assert float(result.significant_share().max()) <= 0.001


def test_concepts_of_which_nothing_is_left_are_not_tested():
    images = make_probe(N)
    lens = some_lens()
    found = lens.concepts(images, rank=2)
    F = found.F.clone()
    F[1] = 0
    result = lens.tcav(images, replace(found, F=F), LABELS, count=COUNT)
    for values in (result.sign_count, result.mean_derivative, result.p_value, result.p_corrected, result.closed_form):
        assert values[:, :, 1].isnan().all()
        assert values[:, :, 0].isfinite().all()
    assert result.concept_classes[1] is None
    assert (result.strongest_classes()[:, 1] == -1).all()


class TwoHeads(nn.Module):
    """The class scores do not depend on the second branch; its activations may be negative."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(4, 5)
        self.scores = nn.Linear(6, 3)

    def forward(self, x):
        return {"scores": self.scores(torch.relu(self.first(x))), "other": self.second(x)}


def test_layers_that_do_not_reach_the_scores_and_split_factors():
    torch.manual_seed(0)
    options = LensOptions(layers=["first", "second"], activation_sign_policy="split")
    from lightning_factorlens.capture.outputs import Outputs

    lens = FactorLens(TwoHeads(), options, outputs=Outputs("classes", key="scores"))
    images = torch.rand(20, 4)
    concepts = lens.concepts(images, rank=3)
    assert [block.name for block in concepts.layers()] == ["first/pos", "first/neg", "second/pos", "second/neg"]
    result = lens.tcav(images, concepts, count=4)
    second = result.layers.index("second")
    assert not result.mean_derivative[second].any()
    assert (result.p_value[second] == 1).all()
    assert result.closed_form.isfinite().all()
    assert result.mean_derivative[1 - second].any()


@pytest.mark.parametrize("kind", [torch.tensor, np.int64, int])
def test_classes_may_be_a_list_of_numbers_of_any_kind(kind):
    images = make_probe(N)
    lens = some_lens()
    concepts = lens.concepts(images, rank=2)
    expected = lens.tcav(images, concepts, torch.tensor([0, 1, 2] * 4), count=COUNT, draws=10)
    found = lens.tcav(images, concepts, [kind(c) for c in [0, 1, 2] * 4], count=COUNT, draws=10)
    assert torch.equal(found.mean_derivative, expected.mean_derivative)


def test_images_without_any_class_have_an_empty_result():
    images = make_probe(N)
    lens = some_lens()
    result = lens.tcav(images, lens.concepts(images, rank=2), [None, -1] * 6, count=COUNT, draws=10)
    assert repr(result) == "TCAVResult(2 layers, 0 classes, 2 concepts)"
    assert "chance of an agreement" in result.table()


def test_errors_say_what_to_change():
    images = make_probe(N)
    lens = some_lens()
    concepts = lens.concepts(images, rank=2)
    with pytest.raises(ValueError, match="probe: found samples .* that are not those of the concepts"):
        lens.tcav(images + 1, concepts, count=3)
    with pytest.raises(ValueError, match="probe: found samples .* torch.float64 that are not those of the concepts"):
        lens.tcav(images.double(), concepts, count=3)
    with pytest.raises(ValueError, match="classes: found None, which is one value; give a sequence of 12"):
        lens.tcav(images, concepts, None, count=3)
    with pytest.raises(ValueError, match="classes: found -2"):
        lens.tcav(images, concepts, [-2] * N, count=3)
    with pytest.raises(ValueError, match="classes: found 2 values for 12 images"):
        lens.tcav(images, concepts, [0, 1], count=3)
    with pytest.raises(ValueError, match="classes: found 3, but the model has scores of 3 classes"):
        lens.tcav(images, concepts, [3] * N, count=3)
    with pytest.raises(ValueError, match="classes: found 'cat'"):
        lens.tcav(images, concepts, ["cat"] * N, count=3)
    with pytest.raises(ValueError, match="classes: found 'labels'"):
        lens.tcav(images, concepts, "labels", count=3)
    with pytest.raises(ValueError, match="count: found 12 top images among 12"):
        lens.tcav(images, concepts, count=N)
    with pytest.raises(ValueError, match="vectors: found 'svm'"):
        lens.tcav(images, concepts, count=3, vectors="svm")
    with pytest.raises(ValueError, match="draws: must be"):
        lens.tcav(images, concepts, count=3, draws=0)
    with pytest.raises(ValueError, match="outputs: the model's output is not read as class scores"):
        FactorLens(make_net(), outputs="regression").tcav(images, concepts, count=3)

    class Detached(SmallNet):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(ValueError, match="outputs: autograd does not connect"):
        FactorLens(Detached(), outputs="classes").tcav(images, concepts, count=3)

    class TwoProcesses(SingleProcess):
        world_size = 2

    with pytest.raises(ValueError, match="process_group: concepts are found by one process"):
        FactorLens(make_net(), process_group=TwoProcesses()).tcav(images, concepts)


def test_gradients_that_are_not_finite_are_reported():
    class Root(SmallNet):
        def forward(self, x):
            return torch.sqrt(self.act(self.hidden(self.relu(self.conv(x)).flatten(1))))[:, :3]

    torch.manual_seed(0)
    images = make_probe(N)
    lens = FactorLens(Root(), outputs="classes")
    with pytest.raises(ValueError, match=r"probe: .* gradients of layer '.*' are NaN or infinite"):
        lens.tcav(images, make_concepts(torch.rand(2, N), inputs=images), [0, 1, 2] * 4, count=3)


def test_captum_finds_the_same_along_the_same_vectors(tmp_path):
    captum = pytest.importorskip("captum.concept")
    images = make_probe(N)
    lens = some_lens(max_neurons_per_layer=None)
    concepts = lens.concepts(images, rank=3)
    top = top_images_of_all(concepts, COUNT)
    for kind in ("mean", "difference", "classifier"):
        result = lens.tcav(images, concepts, LABELS, count=COUNT, draws=10, vectors=kind)
        for index, layer in enumerate(result.layers):

            class Given(captum.Classifier):
                found = result.vectors[index]

                def __init__(self):
                    pass

                def train_and_eval(self, dataloader, **options):
                    return {}

                def weights(self):
                    return self.found

                def classes(self):
                    return list(range(len(self.found)))

            peer = captum.TCAV(make_net(), [layer], classifier=Given(), save_path=str(tmp_path / f"{kind}{index}"))
            sets = [[captum.Concept(k, f"concept{k}", [images[rows]]) for k, rows in enumerate(top)]]
            for c in result.classes:
                chosen = torch.tensor([label == c for label in LABELS])
                (scores,) = peer.interpret(images[chosen], sets, target=c).values()
                torch.testing.assert_close(result.sign_count[index, c].float(), scores[layer]["sign_count"])
                mean = result.mean_derivative[index, c].float()
                torch.testing.assert_close(mean, scores[layer]["magnitude"], rtol=1e-5, atol=1e-6)
