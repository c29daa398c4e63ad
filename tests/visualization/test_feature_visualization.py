"""Pictures of any number of objectives in one run, from a model that is left as found."""

import copy
import warnings

import pytest
import torch
from torch import nn

from lightning_factorlens import FactorLens
from lightning_factorlens.visualization import (
    Adam,
    Channel,
    Direction,
    Fourier,
    Jitter,
    Logit,
    MagnitudeConstrained,
    Neuron,
    Pad,
    Rotate,
    Scale,
    Settings,
    SingularVector,
    leading_vectors,
    visualize,
)
from lightning_factorlens.visualization.layer_reader import LayerReader

FEW = Settings(steps=6)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small_cnn(channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3, stride=2),
        nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


def test_the_first_layer_reaches_the_largest_mean_signal_there_is():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    images = torch.randn(30, 3, 9, 7)
    found = visualize(model, images, leading_vectors(model, "0"))
    U = torch.linalg.svd(model[0].weight.flatten(1))[0]
    low, high = images.amin((0, 2, 3))[:, None, None], images.amax((0, 2, 3))[:, None, None]
    for index in range(len(found)):
        zero = torch.zeros(1, 3, 9, 7, requires_grad=True)
        sign = torch.sign(found.scores[index] / signal(model, found.inputs[index : index + 1], U[:, index]))
        (gradient,) = torch.autograd.grad(sign * signal(model, zero, U[:, index]), zero)
        largest = float((gradient[0] * torch.where(gradient[0] > 0, high, low)).sum())
        assert found.scores[index] > 0.999 * largest
        assert found.scores[index] < 1.0001 * largest
    assert found.share_above == 1.0


def signal(model, images, direction):
    """The mean signal without the bias."""
    return ((model[0](images) - model[0].bias[:, None, None]) * direction[:, None, None]).sum(1).mean()


def test_a_score_is_what_the_model_computes_from_the_picture():
    model, images = small_cnn(3).eval(), torch.rand(20, 3, 12, 12)
    vector, concept = SingularVector("7", 0), torch.randn(4)
    objectives = [Channel("3", 2), Neuron("3", 1, (0, 2)), Channel("0", 1, "max"), vector, Logit(3)]
    objectives += [Direction("1", concept), 2 * Channel("7", 0) - vector]
    probe = images
    found = visualize(model, images, objectives, FEW)
    with torch.no_grad():
        outputs = []
        for layer in model:
            images = layer(found.pictures.clone() if not outputs else outputs[-1].clone())
            outputs.append(images.clone())
    U = torch.linalg.svd(model[7].weight)[0][:, 0]
    sign = torch.sign(found.scores[3] / ((outputs[7][3] - model[7].bias) @ U))
    signals = sign * ((outputs[7] - model[7].bias) @ U)
    expected = [
        outputs[3][0, 2].mean(), outputs[3][1, 1, 0, 2], outputs[0][2, 1].max(), signals[3], outputs[7][4, 3],
        concept @ outputs[1][5].mean((1, 2)), 2 * outputs[7][6, 0] - signals[6],
    ]  # fmt: skip
    assert torch.allclose(found.scores, torch.stack(expected), atol=1e-5)
    assert torch.equal(found.exemplar_pictures(3), probe[found.exemplars[3]])
    assert found.names[6] == "2 * 7 channel 0 - 7 vector 0"


@pytest.mark.parametrize("preset", ["faithful", "natural"])
def test_the_model_is_left_bit_for_bit_as_found(preset):
    model = small_cnn().train()
    model[0].weight.requires_grad_(False)
    model[3].eval()
    images = torch.rand(16, 1, 12, 12)
    model(images).sum().backward()
    before = copy.deepcopy(model)
    modes = [module.training for module in model.modules()]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    inputs, state = images.clone(), torch.get_rng_state()
    found = FactorLens(model).visualize(images, [Channel("3", 0), Logit(1)], preset)
    assert torch.isfinite(found.pictures).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, inputs)
    assert [module.training for module in model.modules()] == modes
    for (name, tensor), (_, old) in zip(model.state_dict().items(), before.state_dict().items()):
        assert torch.equal(tensor, old), name
    for parameter, old, gradient in zip(model.parameters(), before.parameters(), gradients):
        assert parameter.requires_grad == old.requires_grad
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_pass_ends_at_the_layer_and_each_picture_passes_once_a_step():
    model = small_cnn()
    called = []
    model[7].register_forward_hook(lambda *_: called.append(1))
    objectives = [Channel("3", index) for index in range(6)]
    found = visualize(model, torch.rand(16, 1, 12, 12), objectives, Settings(steps=10, tolerance=0))
    assert not called
    assert found.n_passed <= 6 * (10 + 1) + 4  # the dry passes, and the pictures as they are at the end
    assert found.steps.tolist() == [10] * 6


def test_pictures_that_have_converged_leave_and_memory_bounds_the_batches(monkeypatch):
    model, images = small_cnn().eval(), torch.rand(30, 1, 12, 12)
    objectives = [*leading_vectors(model, "0"), *leading_vectors(model, "7")]
    found = visualize(model, images, objectives, Settings(steps=64))
    assert found.steps.min() < 40
    sizes = []
    run = LayerReader.run

    def counted(reader, images, read):
        sizes.append(len(images))
        run(reader, images, read)

    monkeypatch.setattr(LayerReader, "run", counted)
    small = visualize(model, images, objectives, Settings(steps=64, memory_budget=1))
    assert sizes.count(1) > 100  # one picture at a time
    assert torch.allclose(small.scores, found.scores, rtol=1e-3)
    assert found.share_above == 1.0


def test_a_picture_below_its_best_real_image_starts_again_from_that_image():
    model, images = small_cnn().eval(), torch.rand(30, 1, 12, 12)
    settings = Settings(steps=1, optimizer=Adam(1e-4))
    found = visualize(model, images, leading_vectors(model, "7"), settings)
    assert torch.allclose(found.scores, found.best_scores, rtol=1e-3)


def test_several_pictures_of_one_objective_differ_more_with_diversity():
    model, images = small_cnn().eval(), torch.rand(30, 1, 12, 12)
    alike = []
    for diversity in (0.0, 2.0):
        settings = Settings(steps=32, diversity=diversity, tolerance=0)
        found = visualize(model, images, [Channel("3", 1), Channel("3", 2)], settings, pictures=3)
        assert len(found) == 6
        flat = nn.functional.normalize(found.pictures[:3].flatten(1) - 0.5, dim=1)
        alike.append(float((flat @ flat.T).sum()))
    assert alike[1] < alike[0]


class Tokens(nn.Module):
    """A vision transformer of one block."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.block(self.patch(x).flatten(2).mT).mean(1))


class ChannelsLast(nn.Module):
    """The block of a ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, padding=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 16)

    def forward(self, x):
        return nn.functional.gelu(self.linear(self.norm(self.depthwise(self.conv(x)).permute(0, 2, 3, 1))))


ARCHITECTURES = {
    "transformer": (Tokens, (3, 8, 8), [SingularVector("block.linear1", 0), Channel("block", 2), Logit(1)]),
    "channels last": (
        ChannelsLast,
        (3, 8, 6),
        [SingularVector("linear", 1, "max"), SingularVector("depthwise", 3), Channel("norm", 7), Channel("F.gelu", 3)],
    ),
    "one channel, not square": (small_cnn, (1, 14, 9), [Channel("1", 0), Neuron("2", 1), Logit(0)]),
    "bfloat16": (lambda: small_cnn().bfloat16(), (1, 9, 9), [SingularVector("0", 0), SingularVector("7", 0)]),
}


@pytest.mark.parametrize("preset", ["faithful", "natural"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_pictures(name, preset):
    make, shape, objectives = ARCHITECTURES[name]
    model = make()
    images = torch.rand(12, *shape).to(next(model.parameters()).dtype)
    found = visualize(model, images, objectives, preset)
    assert found.pictures.shape == (len(objectives), *shape)
    assert found.pictures.min() >= 0 and found.pictures.max() <= 1
    assert (found.scores > found.history[0]).all()
    assert found.share_above > 0.6


def test_the_hooks_of_a_compiled_model_are_called():
    images = torch.rand(9, 1, 9, 9)
    model = small_cnn()
    found = visualize(torch.compile(model), images, SingularVector("3", 0), FEW)
    assert torch.equal(found.pictures, visualize(model, images, SingularVector("3", 0), FEW).pictures)


def test_a_batch_may_hold_more_than_the_images():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3)

        def forward(self, batch):
            return self.conv(batch["image"] * batch["mask"])

    batch = {"image": torch.rand(10, 1, 6, 6), "mask": torch.ones(10, 1, 6, 6)}
    assert FactorLens(Masked()).visualize(batch, Channel("conv", 0)).share_above == 1.0


@pytest.mark.parametrize("parametrization", [Fourier(decay=1.5), MagnitudeConstrained()], ids=["Fourier", "magnitudes"])
def test_transformations_and_other_parametrisations_raise_the_score(parametrization):
    model, images = small_cnn(3).eval(), torch.rand(20, 3, 12, 10)
    robust = (Pad(2), Jitter(2), Scale(0.8, 1.2), Rotate(10.0), Jitter(1))
    settings = Settings(parametrization, robust, steps=40, tolerance=0)
    done = []
    found = visualize(model, images, Channel("3", 0), settings, progress=lambda n, total: done.append((n, total)))
    assert found.history[-5:].mean() > found.history[:5].mean()
    assert found.preset == "custom"
    assert done[-1] == (40, 40)


def broken_cnn():
    model = small_cnn()
    model[0].weight.data[1] = torch.nan
    return model


def sequence_model():
    return nn.Sequential(nn.Linear(6, 4))


@pytest.mark.parametrize(
    ("model", "images", "objective", "message"),
    [
        (small_cnn, torch.rand(9, 6), Channel("0", 0), r"shape \(N, C, H, W\), found shape \(9, 6\)"),
        (small_cnn, torch.randint(0, 9, (9, 1, 12, 12)), Channel("0", 0), "floating-point numbers, found torch.int64"),
        (small_cnn, torch.full((9, 1, 12, 12), torch.nan), Channel("0", 0), "NaN"),
        (small_cnn, torch.rand(9, 1, 12, 12), Channel("conv", 0), "no module 'conv'"),
        (small_cnn, torch.rand(9, 1, 12, 12), Channel("0-2", 0), "'0-2' was not called"),
        (small_cnn, torch.rand(9, 1, 12, 12), Channel("0", 4), "index: there are 4 channels of '0', found 4"),
        (small_cnn, torch.rand(9, 1, 12, 12), Neuron("0", 0, (1,)), r"the shape \(10, 10\)"),
        (small_cnn, torch.rand(9, 1, 12, 12), SingularVector("1", 0), "'1' has no singular vectors"),
        (small_cnn, torch.rand(9, 1, 12, 12), SingularVector("7", 5), "there are 5 singular vectors of '7', found 5"),
        (small_cnn, torch.rand(9, 1, 12, 12), Direction("3", torch.ones(3)), "6 finite numbers"),
        (small_cnn, torch.rand(9, 1, 12, 12), Channel("0", 0, "sum"), "allowed are 'mean', 'max'"),
        (small_cnn, torch.rand(9, 1, 12, 12), Neuron("0", 0, 3), r"position: found 3, .* the shape \(10, 10\)"),
        (small_cnn, torch.rand(9, 1, 12, 12), Neuron("0", 0, (1.5, 2)), r"position: found \(1.5, 2\)"),
        (small_cnn, torch.rand(9, 1, 12, 12), Channel("0", 0, axis=5), "axis: found 5, .* has the axes 1 to 3"),
        (small_cnn, torch.rand(9, 1, 12, 12), Channel(None, 0), "layer: must be the name of a layer, found None"),
        (small_cnn, torch.rand(9, 1, 12, 12), "0", "must be objectives"),
        (lambda: small_cnn().to("meta"), torch.rand(9, 1, 12, 12), Channel("0", 0), "parameters have no values yet"),
        (broken_cnn, torch.rand(9, 1, 12, 12), Channel("0", 1), "'0 channel 1' is NaN or infinite for an image"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(model, images, objective, message):
    with pytest.raises(ValueError, match=message):
        visualize(model(), images, [objective])


def test_later_calls_of_a_layer_and_names_with_a_hyphen_are_found():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("mix-1", nn.Linear(4, 4))

        def forward(self, x):
            mix = self.get_submodule("mix-1")
            return mix(mix(x.movedim(1, 3)).relu()).flatten(1)

    torch.manual_seed(0)
    model, images = Twice(), torch.rand(9, 4, 6, 5)
    objectives = [SingularVector("mix-1", 0), SingularVector("mix-1-2", 0), Channel("mix-1-2", 3)]
    found = visualize(model, images, objectives, Settings(steps=4))
    picture = found.pictures[2][None].movedim(1, 3)
    layer = model.get_submodule("mix-1")
    expected = layer(layer(picture).relu())[..., 3].mean().detach()
    assert float(found.scores[2]) == pytest.approx(float(expected), rel=1e-5)


def test_numbers_of_units_may_come_from_tensors_and_arrays():
    objectives = [Channel("0", 2), Channel("0", torch.tensor(2)), SingularVector("0", torch.arange(3).numpy()[1])]
    found = visualize(small_cnn(), torch.rand(4, 1, 12, 12), objectives, Settings(steps=2))
    assert found.names == ("0 channel 2", "0 channel 2", "0 vector 1")


def test_values_that_are_no_objectives_or_ranges_are_named():
    with pytest.raises(TypeError, match="other: to an objective another one can be added, found 3"):
        Channel("0", 0) + 3
    for value_range in (3, ("a", "b"), (1.0, 0.0)):
        with pytest.raises(ValueError, match="value_range: must be two increasing numbers"):
            visualize(small_cnn(), torch.rand(4, 1, 12, 12), Channel("0", 0), value_range=value_range)


@pytest.mark.filterwarnings("ignore:quantized")
def test_a_layer_without_gradients_is_refused():
    class Detached(nn.Sequential):
        def forward(self, x):
            return super().forward(x.detach())

    message = "no gradient with respect to the images"
    images = torch.rand(4, 1, 12, 12)
    with pytest.raises(ValueError, match=message):
        visualize(Detached(nn.Conv2d(1, 2, 3)), images, Channel("0", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(small_cnn().eval(), {nn.Linear})
    with pytest.raises(ValueError, match=message):
        visualize(quantised, images, Channel("7", 0), "natural")
    assert visualize(quantised, images, Channel("3", 0), FEW).share_above == 1.0  # before the quantised layer


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "convnext_tiny"])
def test_the_networks_of_torchvision_give_pictures(name):
    models = pytest.importorskip("torchvision.models")
    model = getattr(models, name)(weights=None)
    size = 224 if name == "vit_b_16" else 48
    layer = {"resnet18": "layer1.0.conv2", "vit_b_16": "encoder.layers.encoder_layer_1.mlp.0"}.get(name, "features.0.0")
    found = visualize(model, torch.rand(4, 3, size, size), leading_vectors(model, layer, 2), Settings(steps=8))
    assert found.share_above == 1.0
