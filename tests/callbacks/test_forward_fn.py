"""Models that take more than one tensor: `forward_fn` says how they are called, whatever the batch is made of."""

import pickle
import sys

import pytest
import torch
from grouped_options import make_callback
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.demos import Transformer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from masked_model import DictDataset, Masked, call_masked, images
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_factorlens import FactorLens, FactorLensCallback, LensOptions
from lightning_factorlens.capture.forward_fn import ForwardArgs
from lightning_factorlens.capture.inputs import token_counts
from lightning_factorlens.metrics.consistency import alternating_shift, consistency
from lightning_factorlens.sampling.probe_batch import probe_batch

OPTIONS = LensOptions(ranks=(1, 2))


class Lit(LightningModule):
    def __init__(self, net=None):
        super().__init__()
        self.net = Masked() if net is None else net

    def forward(self, *args, **kwargs):
        return self.net(*args, **kwargs)

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch["image"], batch["mask"]), batch["label"] % 3)

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def lens_of(**options):
    defaults = {"probe_size": 16, "ranks": (1, 2), "fit_power_law": False, "figures_every_n": 0, "verbose": False}
    return make_callback(**{**defaults, **options})


def train(module, data, *callbacks):
    torch.manual_seed(0)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, callbacks=list(callbacks), enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, 8), DataLoader(data, 8))


def fit(module, data, *callbacks, **options):
    lens = lens_of(**options)
    train(module, data, lens, *callbacks)
    return lens


@pytest.mark.parametrize(
    "call",
    [ForwardArgs(["image", "mask"]), ForwardArgs(["image"], {"mask": "mask"}), call_masked],
    ids=["list", "names", "def"],
)
def test_a_model_that_takes_an_image_and_a_mask(call):
    torch.manual_seed(0)
    lens = fit(Lit(), DictDataset(), forward_fn=pickle.loads(pickle.dumps(call)))
    observation = lens.observation
    assert lens.state.layers == ["net.act"]
    assert torch.equal(observation.inputs, images()["image"][lens.probe_batch.data["label"]])
    net, batch = lens.lens.model.net, lens.probe_batch.data
    with torch.no_grad():
        plain = net(batch["image"], batch["mask"])
        shifted = net(alternating_shift(batch["image"], 1), batch["mask"])
    assert observation["consistency"]["consistency"] == pytest.approx(consistency(plain, shifted), rel=1e-5)


def test_without_forward_fn_no_label_reaches_the_lens():
    lens = fit(LitTokens(Tokens()), tokens())
    assert lens.probe_batch.data is lens.probe_batch.inputs


class LitRenamed(Lit):
    """Its `forward` has parameters that are no keys of the batch."""

    def forward(self, picture, cover):
        return self.net(picture, cover)


def test_a_wrong_forward_fn_is_explained_before_training():
    with pytest.raises(MisconfigurationException, match=r"calls your .*\(16, 1, 8, 8\).*cover.*pass `forward_fn=`"):
        fit(LitRenamed(), DictDataset())
    with pytest.raises(MisconfigurationException, match=r"forward_fn: .*'mask'.*'image': Tensor \(16, 1, 8, 8\)"):
        fit(Lit(), DictDataset(), forward_fn=ForwardArgs(["image"]))
    with pytest.raises(ValueError, match=r"arguments: found no 'img' in the batch; there are: \['mask', 'label', "):
        fit(Lit(), DictDataset(), forward_fn=ForwardArgs(["img"]))
    with pytest.raises(TypeError, match="forward_fn: found <class.*ForwardArgs"):
        FactorLensCallback(forward_fn=ForwardArgs)
    with pytest.raises(TypeError, match="forward_fn: found 'image'; give a function"):
        FactorLensCallback(forward_fn="image")
    with pytest.raises(ValueError, match="arguments: must be a list of keys"):
        ForwardArgs("image")


def test_lens_without_lightning_takes_whatever_its_forward_takes():
    torch.manual_seed(0)
    net, batch = Masked(), images()
    observation = FactorLens(net, OPTIONS, forward_fn=lambda model, b: model(b["image"], b["mask"])).observe(batch)
    assert observation.inputs.shape == (24, 1, 8, 8)
    with torch.no_grad():
        truth = net.act(net.conv(batch["image"] * batch["mask"])).flatten(1)
    assert observation["rms"]["act"] == pytest.approx(float(truth.square().mean().sqrt()), rel=1e-5)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.hidden, self.act, self.head = (
            nn.Embedding(20, 8),
            nn.Linear(8, 16),
            nn.ReLU(),
            nn.Linear(16, 2),
        )

    def forward(self, ids):
        return self.head(self.act(self.hidden(self.embed(ids))).mean(1))


class LitTokens(Lit):
    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def tokens(n=24):
    g = torch.Generator().manual_seed(0)
    return TensorDataset(torch.randint(0, 20, (n, 12), generator=g), torch.randint(0, 2, (n,), generator=g))


def test_token_ids_are_counted_and_nothing_is_shifted():
    lens = fit(LitTokens(Tokens()), tokens())
    observation = lens.observation
    assert observation.inputs is None
    assert "consistency" not in observation
    assert "factorlens/consistency" not in lens.metrics
    counts = torch.stack([torch.bincount(row, minlength=20) for row in lens.probe_batch.inputs]).float()
    assert torch.equal(token_counts(lens.probe_batch.inputs), counts[:, counts.sum(0) > 0])
    assert observation["rms"]["input/0"] == pytest.approx(
        float(counts[:, counts.sum(0) > 0].square().mean().sqrt()), rel=1e-5
    )
    with pytest.raises(MisconfigurationException, match="factorlens/consistency.*logs no such value; there are"):
        fit(LitTokens(Tokens()), tokens(), EarlyStopping("factorlens/consistency", check_on_train_epoch_end=True))


def test_feature_vectors_are_one_block_and_nothing_is_shifted_even_if_a_shift_is_given():
    data = TensorDataset(torch.rand(24, 7), torch.randint(0, 3, (24,)))
    lens = fit(LitTokens(nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 3))), data, consistency_shift=1)
    assert "consistency" not in lens.observation
    assert lens.observation.inputs is None
    assert [len(w) for w in lens.observation.factorization.W[0]] == [7, 9]


def test_lightnings_own_transformer_takes_input_and_target():
    class Language(LightningModule):
        def __init__(self):
            super().__init__()
            self.model = Transformer(vocab_size=30, ninp=8, nhead=2, nhid=16, nlayers=2)

        def forward(self, inputs, target):
            return self.model(inputs, target)

        def training_step(self, batch, batch_idx):
            output = self(*batch)
            return nn.functional.nll_loss(output, batch[1].view(-1))

        validation_step = Lit.validation_step
        configure_optimizers = Lit.configure_optimizers

    g = torch.Generator().manual_seed(0)
    text = torch.randint(0, 30, (24, 7), generator=g)
    lens = fit(Language(), TensorDataset(text[:, :-1], text[:, 1:]), forward_fn=ForwardArgs([0, 1]))
    assert any("relu" in name for name in lens.state.layers)
    assert lens.metrics["factorlens/rel_error/rank_2"] > 0


class Gan(LightningModule):
    """Manual optimization with two optimizers. Its forward takes noise, so `forward_fn` names the part that takes images."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
        self.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def forward(self, z):
        return self.generator(z)

    def training_step(self, batch, batch_idx):
        loss, (g, d) = nn.functional.binary_cross_entropy_with_logits, self.optimizers()
        real, z = batch["image"], torch.randn(len(batch["image"]), 4)
        for optimizer, fake in ((g, self(z)), (d, self(z).detach())):
            self.toggle_optimizer(optimizer)
            outputs = self.discriminator(torch.cat([real, fake]))
            target = torch.ones_like(outputs)
            if optimizer is d:
                target[len(real) :] = 0
            self.manual_backward(loss(outputs, target))
            optimizer.step()
            optimizer.zero_grad()
            self.untoggle_optimizer(optimizer)

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return [torch.optim.Adam(part.parameters()) for part in (self.generator, self.discriminator)], []


def test_a_gan_is_observed_through_its_discriminator_and_trains_as_it_would_have():
    def weights(*callbacks):
        torch.manual_seed(0)
        module = Gan()
        train(module, DictDataset(), *callbacks)
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    lens = lens_of(forward_fn=ForwardArgs(["image"], target="discriminator"))
    assert torch.equal(weights(lens), weights())
    assert lens.state.layers == ["discriminator.2"]
    assert lens.state.n_measured == 2
    with pytest.raises(MisconfigurationException, match=r"target='discriminator'"):
        weights(lens_of())


YAML = """
trainer:
  max_epochs: 1
  accelerator: cpu
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: lightning_factorlens.FactorLensCallback
      init_args:
        probe_size: 16
        lens: {ranks: [1, 2]}
        forward_fn: {call}
"""


class Data(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(DictDataset(), 8)

    val_dataloader = train_dataloader


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "call",
    [
        "masked_model.call_masked",
        "{class_path: lightning_factorlens.capture.forward_fn.ForwardArgs, init_args: {arguments: [image, mask]}}",
    ],
    ids=["function", "object"],
)
def test_yaml(tmp_path, monkeypatch, call):
    from lightning.pytorch.cli import LightningCLI

    (tmp_path / "fit.yaml").write_text(YAML.replace("{call}", call))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["main.py", "fit", "--config", "fit.yaml"])
    trainer = LightningCLI(Lit, Data).trainer
    assert "factorlens/consistency" in trainer.callback_metrics


def test_a_dict_of_tensors_is_a_probe():
    batch = probe_batch({"a": torch.arange(50), "b": torch.rand(50, 3), "c": 7}, 10, seed=1)
    assert len(batch["a"]) == len(batch["b"]) == 10
    assert batch["c"] == 7
    torch.manual_seed(0)
    lens = fit(Lit(), DictDataset(), forward_fn=ForwardArgs(["image", "mask"]), probe=images())
    assert len(lens.observation.inputs) == 16


def test_a_dictionary_whose_keys_are_parameters_of_forward_is_passed_as_keywords(tmp_path):
    class LitMasked(Lit):
        def forward(self, image, mask, label=None):
            assert label is None
            return self.net(image, mask)

    torch.manual_seed(0)
    given = fit(LitMasked(), DictDataset(), forward_fn=ForwardArgs([], {"image": "image", "mask": "mask"}))
    torch.manual_seed(0)
    lens = fit(LitMasked(), DictDataset())
    assert lens.state.n_failed == 0
    assert lens.state.layers == given.state.layers == ["net.act"]
    assert sorted(lens.probe_batch.part(0).data) == ["image", "mask"]  # no label reaches the lens
    for name in ("rms", "effective_rank", "consistency"):
        assert repr(list(lens.observation[name].values())) == repr(list(given.observation[name].values()))


def test_how_the_module_is_called_is_said_and_that_it_needs_labels(caplog):
    class NeedsLabels(Lit):
        def forward(self, image, mask, label=None):
            if label is None:
                raise ValueError("either decoder inputs or label")
            return self.net(image, mask)

        def training_step(self, batch, batch_idx):
            return nn.functional.cross_entropy(self(batch["image"], batch["mask"], batch["label"]), batch["label"] % 3)

    with caplog.at_level("INFO", logger="lightning.pytorch.utilities.rank_zero"):
        lens = fit(NeedsLabels(), DictDataset(), verbose=True)
    assert lens.state.layers == ["net.act"]
    assert "calls the module as model(mask=…, label=…, image=…). It needs label; the lens does not" in caplog.text


def test_a_resampled_probe_is_called_in_the_same_way():
    lens = fit(Lit(), DictDataset(), resample_probe=True)
    assert lens.state.n_failed == 0
    assert lens.state.n_measured == 2


class Forces(LightningModule):
    """The derivative of an energy, which `forward` takes itself."""

    def __init__(self):
        super().__init__()
        self.hidden, self.act, self.energy = nn.Linear(6, 8), nn.Softplus(), nn.Linear(8, 1)

    def forward(self, positions):
        positions = positions.requires_grad_(True)
        energy = self.energy(self.act(self.hidden(positions))).sum()
        return torch.autograd.grad(energy, positions, create_graph=self.training)[0]

    def training_step(self, batch, batch_idx):
        return (self(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_model_that_takes_gradients_in_forward_is_observed_and_trained_as_without_the_lens():
    g = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.rand(16, 6, generator=g), torch.rand(16, 6, generator=g))
    torch.manual_seed(1)
    alone, observed = Forces(), Forces()
    observed.load_state_dict(alone.state_dict())
    train(alone, data)
    lens = lens_of()
    train(observed, data, lens)
    assert lens.state.n_failed == 0
    assert lens.state.layers == ["act"]
    assert not lens.probe_batch.inputs.requires_grad
    for wanted, found in zip(alone.parameters(), observed.parameters()):
        assert torch.equal(wanted, found)


def test_without_lightning_a_model_that_takes_gradients_in_forward_is_observed():
    lens, probe = FactorLens(Forces(), OPTIONS), torch.rand(8, 6)
    with torch.inference_mode():
        observation = lens.observe(probe)
    assert observation["rms"]["act"] > 0
