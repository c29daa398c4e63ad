"""What the output of a model is read as, for many training steps."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightning_factorlens.capture.loss_terms import read_loss_graph
from lightning_factorlens.capture.output_parts import OutputPart, inspect_outputs
from lightning_factorlens.capture.output_reader import OutputReader
from lightning_factorlens.capture.outputs import Outputs

N = 5  # samples of the training step: as many as some outputs have columns


def mlp(k=4):
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, k))


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.age, self.sex = mlp(3), mlp(2)

    def forward(self, x):
        return {"age": self.age(x), "sex": self.sex(x)}


class Pixels(nn.Module):
    """(N, 4, 3): four classes at three positions."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 1)

    def forward(self, x):
        return self.conv(x.view(-1, 2, 3))


class Tokens(nn.Module):
    """(N, 3, 4): three tokens of four classes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 4)

    def forward(self, x):
        return self.linear(x.view(-1, 3, 2))


class Temperature(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.log_scale = mlp(), nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.net(x)


class Latents(nn.Module):
    """A variational autoencoder: reconstruction, mean and log variance."""

    def __init__(self):
        super().__init__()
        self.mean, self.log_var, self.decoder = mlp(4), mlp(4), mlp(6)

    def forward(self, x):
        mean, log_var = self.mean(x), self.log_var(x)
        z = mean + torch.randn_like(mean) * (log_var / 2).exp()
        return self.decoder(F.pad(z, (0, 2))), mean, log_var


class Similarities(nn.Module):
    """(N, N): each sample against each other, as CLIP returns."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        z = self.net(x)
        return z @ z.T


class Expert(nn.Module):
    """Class scores, and the softmax of an attention over three instances."""

    def __init__(self):
        super().__init__()
        self.net, self.attention = mlp(), mlp(3)

    def forward(self, x):
        return self.net(x), self.attention(x).softmax(-1)


def elbo(model, x):
    reconstruction, mean, log_var = model(x)
    return F.mse_loss(reconstruction, x) - 0.01 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()


def info_nce(model, x):
    z, w = F.normalize(model(x)), F.normalize(model(x))
    return F.cross_entropy(z @ w.T / 0.1, torch.arange(N))


def mixup(model, x):
    outputs = model(0.3 * x + 0.7 * x.flip(0))
    return 0.3 * F.cross_entropy(outputs, LABELS) + 0.7 * F.cross_entropy(outputs, LABELS.flip(0))


def fixmatch(model, x):
    labelled, unlabelled = model(torch.cat([x, x])).chunk(2)
    return F.cross_entropy(labelled, LABELS) + F.cross_entropy(unlabelled, unlabelled.detach().argmax(1))


LABELS = torch.tensor([0, 1, 2, 3, 0])
SOFT = torch.full((N, 4), 0.25)
PIXEL_LABELS = torch.zeros(N, 3).long()
CASES = {
    "cross-entropy": (mlp(), lambda m, x: F.cross_entropy(m(x), LABELS), "classes", ""),
    "label smoothing": (mlp(), lambda m, x: F.cross_entropy(m(x), LABELS, label_smoothing=0.1), "classes", ""),
    "soft targets": (mlp(), lambda m, x: F.cross_entropy(m(x), SOFT), "classes", ""),
    "weights of classes": (mlp(), lambda m, x: F.cross_entropy(m(x), LABELS, torch.rand(4)), "classes", ""),
    "mixup": (mlp(), mixup, "classes", ""),
    "semi-supervised": (mlp(), fixmatch, "classes", ""),
    "distillation": (mlp(), lambda m, x: F.kl_div((m(x) / 4).log_softmax(1), SOFT), "classes", ""),
    "temperature": (mlp(), lambda m, x: F.cross_entropy(m(x) / 2.0, LABELS), "classes", ""),
    "trained temperature": (
        Temperature(),
        lambda m, x: F.cross_entropy(m(x) * m.log_scale.exp(), LABELS),
        "classes",
        "",
    ),
    "logit adjustment": (mlp(), lambda m, x: F.cross_entropy(m(x) + SOFT[0].log(), LABELS), "classes", ""),
    "double precision loss": (mlp(), lambda m, x: F.cross_entropy(m(x).double(), LABELS), "classes", ""),
    "focal loss": (mlp(), lambda m, x: (F.cross_entropy(m(x), LABELS, reduction="none") ** 2).mean(), "classes", ""),
    "with a penalty": (
        mlp(),
        lambda m, x: F.cross_entropy(m(x), LABELS) + sum((p**2).sum() for p in m.parameters()),
        "classes",
        "",
    ),
    "regression": (mlp(2), lambda m, x: F.mse_loss(m(x), torch.rand(N, 2)), "regression", ""),
    "regression by hand": (mlp(2), lambda m, x: ((torch.rand(N, 2) - m(x)) ** 2).mean(), "regression", ""),
    "absolute error": (mlp(2), lambda m, x: F.l1_loss(m(x), torch.rand(N, 2)), "regression", ""),
    "smooth absolute error": (mlp(2), lambda m, x: F.smooth_l1_loss(m(x), torch.rand(N, 2)), "regression", ""),
    "Huber": (mlp(2), lambda m, x: F.huber_loss(m(x), torch.rand(N, 2)), "regression", ""),
    "multi-label": (mlp(), lambda m, x: F.binary_cross_entropy_with_logits(m(x), SOFT), "multilabel", ""),
    "multi-label, sigmoid": (mlp(), lambda m, x: F.binary_cross_entropy(m(x).sigmoid(), SOFT), "multilabel", ""),
    "binary, (N, 1)": (
        mlp(1),
        lambda m, x: F.binary_cross_entropy_with_logits(m(x)[:, 0], SOFT[:, 0].repeat(2)[:N]),
        "multilabel",
        "",
    ),
    "SimCLR, width = batch": (mlp(N), info_nce, "unknown", ""),
    "SimCLR without normalisation": (
        mlp(N),
        lambda m, x: F.cross_entropy(m(x) @ m(x).T, torch.arange(N)),
        "unknown",
        "",
    ),
    "prototypes": (mlp(N), lambda m, x: F.cross_entropy(m(x) @ torch.rand(N, N), LABELS), "unknown", ""),
    "softmax over the samples": (mlp(N), lambda m, x: m(x).log_softmax(0).mean(), "unknown", ""),
    "samples as classes": (mlp(N), lambda m, x: F.cross_entropy(m(x).T, LABELS), "unknown", ""),
    "similarities of samples": (
        Similarities(),
        lambda m, x: F.cross_entropy(m(x), torch.arange(N)),
        "unknown",
        None,
    ),
    "VAE": (Latents(), elbo, "regression", "0"),
    "no known loss": (mlp(), lambda m, x: m(x).std(0).sum(), "unknown", ""),
    "only some columns": (mlp(6), lambda m, x: F.cross_entropy(m(x)[:, :4], LABELS), "unknown", ""),
    "heads, one of classes": (
        Heads(),
        lambda m, x: F.mse_loss(m(x)["age"][:, 0], torch.rand(N)) + F.cross_entropy(m(x)["sex"], LABELS % 2),
        "classes",
        "sex",
    ),
    "heads, both of classes": (
        Heads(),
        lambda m, x: F.cross_entropy(m(x)["age"], LABELS % 3) + F.cross_entropy(m(x)["sex"], LABELS % 2),
        "unknown",
        None,
    ),
    "scores and attention": (Expert(), lambda m, x: F.cross_entropy(m(x)[0], LABELS), "classes", "0"),
    "segmentation": (Pixels(), lambda m, x: F.cross_entropy(m(x), PIXEL_LABELS), "pixel_classes", ""),
    "segmentation, flat": (
        Pixels(),
        lambda m, x: F.cross_entropy(m(x).permute(0, 2, 1).reshape(-1, 4), PIXEL_LABELS.flatten()),
        "pixel_classes",
        "",
    ),
    "segmentation, soft Dice": (Pixels(), lambda m, x: m(x).softmax(1)[:, 0].mean(), "pixel_classes", ""),
    "language model": (
        Tokens(),
        lambda m, x: F.cross_entropy(m(x)[:, :-1].reshape(-1, 4), PIXEL_LABELS[:, 1:].flatten()),
        "token_classes",
        "",
    ),
    "language model, classes second": (
        Tokens(),
        lambda m, x: F.cross_entropy(m(x).transpose(1, 2), PIXEL_LABELS),
        "token_classes",
        "",
    ),
    "masked language model": (
        Tokens(),
        lambda m, x: F.cross_entropy(m(x)[PIXEL_LABELS == 0], PIXEL_LABELS.flatten()),
        "token_classes",
        "",
    ),
}


def parts_of(model):
    parts = inspect_outputs(model, model, torch.rand(3, 6), 3)
    fewer = {part.shape for part in inspect_outputs(model, model, torch.rand(2, 6), 2)}
    return [part for part in parts if part.shape in fewer]


def read(model, loss):
    """The decision after one training step."""
    reader = OutputReader(model, parts_of(model), None)
    if not reader.needs_training_step:
        return reader.decide()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return reader.decide_by_training(read_loss_graph(loss(model, torch.rand(N, 6)).grad_fn, names), model)


@pytest.mark.parametrize("case", CASES)
def test_the_loss_of_a_training_step_tells_what_the_output_is(case):
    model, loss, kind, path = CASES[case]
    decision = read(model.train(), loss)
    assert (decision.kind, decision.path) == (kind, path), decision.reason
    assert decision.reason


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    model = mlp()
    with torch.autocast("cpu", dtype=dtype):
        assert read(model, lambda m, x: F.cross_entropy(m(x), LABELS)).kind == "classes"
        assert read(mlp(N), info_nce).kind == "unknown"


@pytest.mark.parametrize(
    ("last", "is_probability"), [(nn.Softmax(-1), True), (nn.Softmax(1), True), (nn.LogSoftmax(-1), False)], ids=str
)
def test_a_softmax_in_the_model_is_read_as_classes_before_training(last, is_probability):
    model = nn.Sequential(mlp(), last)
    decision = OutputReader(model, parts_of(model), None).decide()
    assert (decision.kind, decision.is_probability) == ("classes", is_probability)
    assert "softmax" in decision.reason
    frozen = model.requires_grad_(False)  # autograd then records nothing
    assert OutputReader(frozen, parts_of(frozen), None).decide().kind == "classes"


def test_values_that_only_look_like_a_softmax_are_not_read_as_one():
    class Normalised(nn.Module):
        def forward(self, x):
            return x / x.sum(1, keepdim=True)

    assert OutputReader(Normalised(), parts_of(Normalised()), None).decide().kind == "unknown"
    over_samples = nn.Sequential(mlp(), nn.Softmax(0))
    assert OutputReader(over_samples, parts_of(over_samples), None).decide().kind == "unknown"


def test_the_negative_log_likelihood_of_probabilities_is_found_among_several_parts():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.features = mlp(), mlp()

        def forward(self, x):
            return self.features(x), self.net(x).softmax(-1)

    decision = read(Both(), lambda m, x: F.nll_loss(m(x)[1].log(), LABELS))
    assert (decision.kind, decision.path, decision.is_probability) == ("classes", "1", True)


def metric(name, **attributes):
    """A stand-in for a torchmetrics module, which is recognised by its names."""
    kind = type(name, (nn.Module,), {"__module__": "torchmetrics.classification.accuracy"})()
    for attribute, value in attributes.items():
        setattr(kind, attribute, value)
    return kind


@pytest.mark.parametrize(
    ("metrics", "kind"),
    [
        ([metric("MulticlassAccuracy", num_classes=4)], "classes"),
        ([metric("MulticlassAccuracy", num_classes=4), metric("MulticlassF1Score", num_classes=4)], "classes"),
        ([metric("MulticlassAccuracy", num_classes=10)], "unknown"),
        ([metric("MultilabelAccuracy", num_labels=4)], "multilabel"),
        ([metric("MulticlassAccuracy", num_classes=4), metric("MultilabelAccuracy", num_labels=4)], "unknown"),
        ([metric("MeanSquaredError", num_outputs=4)], "unknown"),
    ],
)
def test_torchmetrics_modules_tell_the_task(metrics, kind):
    model = nn.Sequential(mlp())
    model.metrics = nn.ModuleList(metrics)
    model.forward = model[0].forward
    assert OutputReader(model, parts_of(model[0]), None).decide().kind == kind


def test_the_metrics_of_torchmetrics_are_recognised():
    torchmetrics = pytest.importorskip("torchmetrics")
    model = mlp()
    parts = parts_of(model)
    model.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=4)
    assert OutputReader(model, parts, None).decide().kind == "classes"


PARTS = [OutputPart("age", (3,)), OutputPart("sex", (2,)), OutputPart("mask", (4, 8, 8))]


@pytest.mark.parametrize(
    ("word", "path"),
    [
        (Outputs("classes", "sex"), "sex"),
        (Outputs("regression", key="age"), "age"),
        (Outputs("pixel_classes"), "mask"),
        (Outputs("embedding", "mask"), "mask"),
        (Outputs("none"), None),
    ],
)
def test_the_users_word_counts_most(word, path):
    decision = OutputReader(nn.Identity(), PARTS, word).decide()
    assert (decision.kind, decision.path) == (word.kind, path)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (Outputs("classes"), r"'classes' needs one part .*found 2; the model returns 'age' \(N, 3\), 'sex' \(N, 2\)"),
        (Outputs("classes", "race"), "under 'race', found 0"),
        (Outputs("classes", "mask"), "under 'mask', found 0"),
        (Outputs("embedding"), r"Pass outputs=Outputs\('embedding', key='age'\)"),
    ],
)
def test_a_word_that_does_not_fit_is_an_error_that_lists_the_parts(word, message):
    with pytest.raises(ValueError, match=message):
        OutputReader(nn.Identity(), PARTS, word).decide()


def test_the_key_logits_is_meant_where_none_is_given():
    parts = [OutputPart("features", (9,)), OutputPart("logits", (3,))]
    assert OutputReader(nn.Identity(), parts, Outputs("classes")).decide().path == "logits"


class Step(nn.Module):
    """A module whose graph shows no loss; its code does."""

    def training_step(self, batch, batch_idx):
        return self._loss(*batch)

    def _loss(self, x, y):
        return F.cross_entropy(self(x), y)


class ContrastiveStep(Step):
    def _loss(self, x, y):
        z = self(x)
        return F.cross_entropy(z @ z.T, y)


class TwoLosses(Step):
    def _loss(self, x, y):
        return F.cross_entropy(self(x), y) + F.mse_loss(self(x), y)


@pytest.mark.parametrize(
    ("module", "kind"), [(Step(), "classes"), (ContrastiveStep(), "unknown"), (TwoLosses(), "unknown")]
)
def test_the_code_is_read_where_the_graph_shows_nothing(module, kind):
    decision = OutputReader(module, [OutputPart("", (4,))], None).decide_by_training(None, module)
    assert decision.kind == kind
    assert ("code" in decision.reason) == (kind == "classes")


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize(
    ("k", "loss", "kind"), [(4, lambda m, x: F.cross_entropy(m(x), LABELS), "classes"), (N, info_nce, "unknown")]
)
def test_a_compiled_model_is_read_as_the_same(backend, k, loss, kind):
    model = mlp(k)
    reader = OutputReader(model, parts_of(model), None)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    compiled = torch.compile(model, backend=backend)
    graph = read_loss_graph(loss(compiled, torch.rand(N, 6)).grad_fn, names)
    assert reader.decide_by_training(graph, ContrastiveStep()).kind == kind
