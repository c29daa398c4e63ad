"""Which output is read as class scores in a run, when that is known, and what follows from it."""

import copy
import math

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from training import Net, Snapshot, lens, loaders, scalars, train

from lightning_factorlens import LabelFreeStopping, Outputs
from lightning_factorlens.measurements import (
    Consistency,
    EffectiveRank,
    PerturbationConsistency,
    PredictionChange,
    PredictionConfidence,
)

MEASUREMENTS = [Consistency(), PredictionChange(), PredictionConfidence(), EffectiveRank()]


class Step(Net):
    """A training step whose loss is given as a function of the module and a batch."""

    def __init__(self, loss, head=None):
        super().__init__()
        self.loss = loss
        if head is not None:
            self.head = head

    def training_step(self, batch, batch_idx):
        return self.loss(self, batch)

    def validation_step(self, batch, batch_idx):
        pass


def one_hot(batch):
    return F.one_hot(batch[1], 3).float()


class VAE(LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(100, 16), nn.ReLU())
        self.mean, self.log_var = nn.Linear(16, 4), nn.Linear(16, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 100), nn.Sigmoid())

    def forward(self, x):
        h = self.encoder(x)
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.randn_like(mean) * (log_var / 2).exp()
        return self.decoder(z).view_as(x), mean, log_var

    def training_step(self, batch, batch_idx):
        reconstruction, mean, log_var = self(batch[0])
        return F.mse_loss(reconstruction, batch[0]) - 0.01 * (1 + log_var - mean**2 - log_var.exp()).sum(1).mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-2)


class Heads(Step):
    def __init__(self):
        super().__init__(
            lambda m, b: F.mse_loss(m(b[0])["age"][:, 0], b[1].float()) + F.cross_entropy(m(b[0])["sex"], b[1] % 2)
        )
        self.age, self.sex = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        h = super().forward(x)
        return {"age": self.age(h), "sex": self.sex(h)}


class Views(Dataset):
    """Two views of an image, as contrastive learning has them."""

    def __init__(self):
        self.images = torch.rand(64, 1, 10, 10, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index]
        return [image + 0.05 * torch.randn_like(image), image + 0.05 * torch.randn_like(image)], index


def contrastive(module, batch):
    first, second = batch[0]
    z, w = F.normalize(module(first)), F.normalize(module(second))
    return F.cross_entropy(z @ w.T / 0.1, torch.arange(len(z)))


def views():
    return DataLoader(Views(), 16, shuffle=True), DataLoader(Views(), 16)


class Segmentation(Step):
    def __init__(self):
        super().__init__(lambda m, b: F.cross_entropy(m(b[0]), (b[0][:, 0] > 0.5).long()))
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))

    def forward(self, x):
        return self.net(x)


class Manual(Step):
    """Manual optimisation with two optimizers, one after the other."""

    def __init__(self, loss, **options):
        super().__init__(loss, **options)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(self, batch))
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.head.parameters(), 0.1), torch.optim.SGD(self.conv1.parameters(), 0.1)]


def cross_entropy(module, batch):
    return F.cross_entropy(module(batch[0]), batch[1])


CLASSES = {
    "plain": (lambda: Step(cross_entropy), {}),
    "temperature": (lambda: Step(lambda m, b: F.cross_entropy(m(b[0]) / 2.0, b[1])), {}),
    "smoothing": (lambda: Step(lambda m, b: F.cross_entropy(m(b[0]), b[1], label_smoothing=0.1)), {}),
    "soft targets": (lambda: Step(lambda m, b: F.cross_entropy(m(b[0]), 0.9 * one_hot(b) + 1 / 30)), {}),
    "softmax": (
        lambda: Step(lambda m, b: F.nll_loss(m(b[0]).log(), b[1]), nn.Sequential(nn.Linear(8, 3), nn.Softmax(1))),
        {},
    ),
    "log-softmax": (
        lambda: Step(lambda m, b: F.nll_loss(m(b[0]), b[1]), nn.Sequential(nn.Linear(8, 3), nn.LogSoftmax(1))),
        {},
    ),
    "manual, two optimizers": (lambda: Manual(cross_entropy), {}),
    "bf16": (lambda: Step(cross_entropy), {"precision": "bf16-mixed"}),
    "accumulation": (lambda: Step(cross_entropy), {"accumulate_grad_batches": 2}),
}
OTHERS = {
    "regression": (lambda: Step(lambda m, b: F.mse_loss(m(b[0]), one_hot(b))), loaders, "regressed values"),
    "multi-label": (
        lambda: Step(lambda m, b: F.binary_cross_entropy_with_logits(m(b[0]), one_hot(b))),
        loaders,
        "labels that do not exclude each other",
    ),
    "VAE": (VAE, loaders, "regressed values"),
    "SimCLR": (lambda: Step(contrastive), views, "cross-entropy is not taken of"),
    "SimCLR, batch = width": (lambda: Step(contrastive, nn.Linear(8, 16)), views, "cross-entropy is not taken of"),
    "segmentation": (Segmentation, loaders, "class scores of every position"),
}


@pytest.mark.parametrize("case", CLASSES)
def test_class_scores_are_found_and_measured_from_the_start(tmp_path, case):
    make, options = CLASSES[case]
    callback = lens(measurements=MEASUREMENTS)
    train(tmp_path, callback, LabelFreeStopping(verbose=False), module=make(), epochs=2, **options)
    assert callback.state.output_decision.kind == "classes"
    assert [o.value("consistency") is not None for o in callback.history] == [True] * 3
    assert callback.history[1].value("prediction_changes") is not None
    assert any(note.startswith("outputs: (N, 3), read as class scores") for note in callback.observation.notes)
    steps = [step for step, _ in scalars(tmp_path)["factorlens/consistency"]]
    assert steps == [step for step, _ in scalars(tmp_path)["factorlens/effective_rank"]]
    assert steps[0] == 0


@pytest.mark.parametrize("case", OTHERS)
def test_no_signal_is_invented_for_other_outputs(tmp_path, case):
    make, data, reason = OTHERS[case]
    callback = lens(measurements=MEASUREMENTS)
    train(tmp_path, callback, module=make(), data=data(), epochs=2)
    assert callback.state.n_failed == 0
    for observation in callback.history:
        assert not {"consistency", "prediction_change", "prediction_confidence"} & observation.records.keys()
        (note,) = [note for note in observation.notes if note.startswith("no consistency: ")]
        assert reason in note
        assert "PerturbationConsistency" in note
    assert "factorlens/consistency" not in scalars(tmp_path)
    assert len(scalars(tmp_path)["factorlens/effective_rank"]) == 3
    assert set(callback.state.warm_start.states).isdisjoint({"consistency", "prediction_change"})


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("mode", ["stop", "advise"])
def test_stopping_refuses_outputs_that_nobody_confirmed(tmp_path, case, mode):
    make, data, reason = OTHERS[case]
    with pytest.raises(MisconfigurationException, match="LabelFreeStopping.*no consistency: ") as caught:
        train(tmp_path, LabelFreeStopping(mode=mode), lens(measurements=MEASUREMENTS), module=make(), data=data())
    message = str(caught.value)
    assert reason in message
    assert "PerturbationConsistency" in message
    assert "effective_rank" in message


@pytest.mark.parametrize(
    "make",
    [
        lambda path: EarlyStopping("factorlens/consistency", check_on_train_epoch_end=True),
        lambda path: ModelCheckpoint(path, monitor="factorlens/consistency", save_on_train_epoch_end=True),
    ],
)
def test_a_monitor_of_what_is_refuted_ends_the_run_after_the_first_batch(tmp_path, make):
    steps = []

    class Counts(Step):
        def on_train_batch_start(self, batch, batch_idx):
            steps.append(batch_idx)

    module = Counts(lambda m, b: F.mse_loss(m(b[0]), one_hot(b)))
    with pytest.raises(MisconfigurationException, match="no consistency: the output is read as regressed values"):
        train(tmp_path, make(tmp_path), lens(measurements=MEASUREMENTS), module=module, enable_checkpointing=True)
    assert steps == [0]


def test_the_only_head_of_classes_is_read(tmp_path):
    callback, stopping = lens(measurements=MEASUREMENTS), LabelFreeStopping(verbose=False)
    train(tmp_path, stopping, callback, module=Heads(), epochs=2)
    decision = callback.state.output_decision
    assert (decision.kind, decision.path) == ("classes", "sex")
    assert decision.line == "outputs: 'sex' (N, 2), read as class scores: cross-entropy in the training step"
    assert [o.value("consistency") is not None for o in callback.history] == [False, True, True]
    assert stopping.decision is not None


def test_the_user_names_the_head(tmp_path):
    callback = lens(measurements=MEASUREMENTS, outputs=Outputs("classes", key="age"))
    train(tmp_path, callback, module=Heads(), epochs=1)
    assert callback.observation.value("confidence") >= 1 / 3
    assert [o.value("consistency") is not None for o in callback.history] == [True, True]
    with pytest.raises(ValueError, match=r"under 'race', found 0; the model returns 'age' \(N, 3\), 'sex' \(N, 2\)"):
        train(tmp_path, lens(outputs=Outputs("classes", key="race")), module=Heads())


def test_the_users_word_against_the_evidence(tmp_path):
    callback = lens(measurements=MEASUREMENTS, outputs="none")
    train(tmp_path, callback, module=Step(cross_entropy), epochs=1)
    assert "consistency" not in callback.observation
    with pytest.raises(MisconfigurationException, match="no consistency: outputs='none'"):
        train(tmp_path, LabelFreeStopping(), lens(measurements=MEASUREMENTS, outputs="none"))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_network(tmp_path, backend):
    module = Step(cross_entropy)
    module.compile(backend=backend)
    callback = lens(measurements=MEASUREMENTS)
    train(tmp_path, callback, module=module, epochs=1)
    assert callback.state.output_decision.kind == "classes"
    assert [o.value("consistency") is not None for o in callback.history] == [True, True]


def test_a_resumed_run_keeps_the_decision(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_last=True)
    train(tmp_path, lens(measurements=MEASUREMENTS), checkpoint, epochs=1, enable_checkpointing=True)
    callback = lens(measurements=MEASUREMENTS)
    module = Net()
    module.training_step = lambda batch, batch_idx: F.mse_loss(module(batch[0]), one_hot(batch))
    options = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=2, callbacks=[callback], **options)
    trainer.fit(module, *loaders(), ckpt_path=tmp_path / "last.ckpt")
    assert callback.state.output_decision.kind == "classes"
    assert [o.value("consistency") is not None for o in callback.history] == [True, True, True]


def test_a_failure_to_read_the_loss_is_not_fatal(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("another version of torch")

    monkeypatch.setattr("lightning_factorlens.callbacks._output_evidence.read_loss_graph", fails)
    callback = lens(measurements=MEASUREMENTS)
    train(tmp_path, callback, epochs=1)
    assert callback.state.output_decision.kind == "unknown"
    assert "another version of torch" in callback.state.output_decision.reason
    assert "effective_rank" in callback.observation
    assert "consistency" not in callback.observation


def test_a_first_batch_without_a_loss_is_waited_for(tmp_path):
    class Skips(Step):
        def training_step(self, batch, batch_idx):
            return None if batch_idx == 0 else super().training_step(batch, batch_idx)

    callback = lens(measurements=MEASUREMENTS)
    train(tmp_path, callback, module=Skips(cross_entropy), epochs=1)
    assert [o.value("consistency") is not None for o in callback.history] == [True, True]


def test_steps_without_an_epoch_end_are_observed_too(tmp_path):
    callback = lens(measurements=MEASUREMENTS, every_n_train_steps=1)
    train(tmp_path, callback, epochs=1)
    assert [o.value("consistency") is not None for o in callback.history] == [True] * 5


@pytest.mark.parametrize("options", [{"barebones": True, "logger": None}, {"fast_dev_run": True}], ids=str)
def test_bare_trainers_go_on(tmp_path, options):
    options = dict(options)
    if options.get("barebones"):
        options.update(
            enable_progress_bar=None, enable_model_summary=None, enable_checkpointing=None, log_every_n_steps=None
        )
    callback = lens(measurements=MEASUREMENTS)
    train(tmp_path, callback, epochs=1, module=Step(cross_entropy), **options)
    assert callback.state.output_decision.kind == "classes"


@pytest.mark.parametrize("make", [lambda: Step(cross_entropy), VAE, Heads], ids=["classes", "VAE", "heads"])
def test_training_is_bit_for_bit_the_same(tmp_path, make):
    torch.manual_seed(1)
    module = make()
    alone, observed = Snapshot(), Snapshot()
    train(tmp_path / "a", alone, module=copy.deepcopy(module), epochs=2)
    train(
        tmp_path / "b", lens(measurements=[*MEASUREMENTS, PerturbationConsistency()]), observed, module=module, epochs=2
    )
    assert all(torch.equal(value, observed.weights[name]) for name, value in alone.weights.items())
    assert torch.equal(alone.random[0], observed.random[0])
    assert alone.random[1:] == observed.random[1:]


@pytest.mark.parametrize("case", OTHERS)
def test_perturbation_consistency_is_a_signal_for_them(tmp_path, case):
    make, data, _ = OTHERS[case]
    callback = lens(measurements=[PerturbationConsistency(), EffectiveRank()])
    stopping = LabelFreeStopping(monitor="factorlens/perturbation_consistency", verbose=False)
    train(tmp_path, stopping, callback, module=make(), data=data(), epochs=2)
    values = [o.value("perturbation_consistency") for o in callback.history]
    assert all(value is not None and math.isfinite(value) for value in values[1:])
    assert stopping.decision is not None


def test_the_first_value_of_perturbation_consistency_is_of_the_same_kind_as_the_others(tmp_path):
    callback = lens(measurements=[PerturbationConsistency(), EffectiveRank()])
    train(tmp_path, callback, module=Step(cross_entropy), epochs=1)
    assert [o.value("perturbation_consistency") is not None for o in callback.history] == [True, True]
    callback = lens(measurements=[PerturbationConsistency(), EffectiveRank()])
    train(tmp_path, callback, module=OTHERS["regression"][0](), epochs=1)  # it was assumed to be classes
    assert [o.value("perturbation_consistency") is not None for o in callback.history] == [False, True]
