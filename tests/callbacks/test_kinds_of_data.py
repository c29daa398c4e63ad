"""The callback with its default settings on graphs, bags, lists of images, images of different sizes and few samples."""

import pytest
import torch
from kinds_of_data import BagNet, Detector, FullyConvolutional, GraphBatch, GraphNet
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens import FactorLensCallback, LensOptions, TensorBoardOptions
from lightning_factorlens.factorization import HALS


class Samples(Dataset):
    """A list of samples."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class Module(LightningModule):
    """Trains a network on what ``take`` finds in a batch."""

    def __init__(self, net, take):
        super().__init__()
        self.net, self.take = net, take

    def forward(self, batch):
        return self.net(batch)

    def training_step(self, batch, batch_idx):
        output = self.net(self.take(batch))
        return output[0]["boxes"].sum() if isinstance(output, list) else output.sum()

    def validation_step(self, batch, batch_idx):
        self.net(self.take(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-3)


def collate_graphs(samples):
    sizes = torch.tensor([len(x) for x, _ in samples])
    index = torch.repeat_interleave(torch.arange(len(samples)), sizes)
    return GraphBatch(torch.cat([x for x, _ in samples]), index, len(samples), torch.stack([y for _, y in samples]))


def collate_lists(samples):
    return tuple(zip(*samples))


def first(samples):
    return samples[0]


def part_zero(batch):
    return batch[0]


def whole(batch):
    return batch


def as_list(batch):
    return list(batch[0])


def call_with_batch_axis(model, batch):
    return model(batch[0][None])


def call_detector(model, batch):
    return model(list(batch[0]))


def graphs():
    return [(torch.randn(3 + i % 4, 5), torch.tensor(i % 2)) for i in range(40)]


def bags():
    return [(torch.randn(5 + i % 4, 6), torch.tensor(i % 2)) for i in range(40)]


def sized(sizes=(8, 12, 10)):
    return [(torch.rand(3, sizes[i % len(sizes)], 8), torch.tensor(i % 2)) for i in range(36)]


def detection(sizes=(8, 12)):
    return [(image, {"boxes": torch.zeros(1 + i % 3, 4)}) for i, (image, _) in enumerate(sized(sizes))]


KINDS = {
    "graphs": (GraphNet, whole, graphs, {"batch_size": 8, "collate_fn": collate_graphs}),
    "bags": (BagNet, part_zero, bags, {"batch_size": 1, "collate_fn": first}),
    "images of different sizes": (FullyConvolutional, part_zero, sized, {"batch_size": 1}),
    "lists of images": (Detector, as_list, detection, {"batch_size": 4, "collate_fn": collate_lists}),
    "lists of equal images": (
        Detector,
        as_list,
        lambda: detection((8,)),
        {"batch_size": 4, "collate_fn": collate_lists},
    ),
}


def fit(net, take, samples, loader, **options):
    torch.manual_seed(0)
    samples = samples()
    options = {"tensorboard": TensorBoardOptions(figures_every_n=1), "on_error": "raise", **options}
    lens = FactorLensCallback(lens=options.pop("lens", LensOptions(solver=HALS(n_init=1))), **options)
    trainer = Trainer(
        max_epochs=1, limit_train_batches=2, limit_val_batches=2, accelerator="cpu", logger=False, callbacks=[lens],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Module(net(), take), DataLoader(Samples(samples), **loader), DataLoader(Samples(samples), **loader))
    return lens


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_every_kind_are_observed_with_default_settings(kind):
    net, take, samples, loader = KINDS[kind]
    lens = fit(net, take, samples, loader)
    assert lens.state.n_measured == 2 and lens.state.layers == ["net.act"]
    assert len(lens.probe_batch) == len(lens.probe_batch.inputs) == len(samples())
    assert lens.metrics["factorlens/effective_rank"] > 1


@pytest.mark.parametrize("sizes", [(8,), (8, 12)])
def test_a_detector_can_be_called_by_a_function(sizes):
    _, take, _, loader = KINDS["lists of images"]
    lens = fit(Detector, take, lambda: detection(sizes), loader, forward_fn=call_detector)
    assert lens.state.layers == ["net.act"]


def test_images_without_a_batch_axis_get_advice_that_helps():
    loader = {"batch_size": 1, "collate_fn": first}
    with pytest.raises(MisconfigurationException, match=r"forward_fn=lambda model, batch: model\(batch\[0\]\[None\]\)"):
        fit(Strict, with_batch_axis, lambda: sized((8,)), loader)
    lens = fit(Strict, with_batch_axis, lambda: sized((8,)), loader, forward_fn=call_with_batch_axis)
    assert lens.probe_batch.inputs.shape == (36, 3, 8, 8)
    assert lens.observation.inputs.shape == (36, 3, 8, 8)


def with_batch_axis(batch):
    return batch[0][None]


class Strict(FullyConvolutional):
    """Refuses images without a batch axis, as batch norm does."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return super().forward(self.norm(x))


@pytest.mark.parametrize("n", [1, 3, 20])
def test_few_samples_shrink_the_default_ranks_and_it_is_said_once(n, caplog):
    with caplog.at_level("INFO", "lightning.pytorch"):
        lens = fit(FullyConvolutional, part_zero, lambda: sized((8,))[:n], {"batch_size": 8})
    ranks = tuple(rank for rank in (1, 2, 4, 8, 16) if rank <= n)
    assert lens.observation.factorization.ranks == ranks
    said = {record.getMessage() for record in caplog.records if "default ranks are" in record.getMessage()}
    assert said == {
        f"FactorLens: the default ranks are those up to the number of samples, {n}: {', '.join(map(str, ranks))}."
    }


def test_the_probe_passes_in_batches_of_the_loaders_size():
    lens = fit(FullyConvolutional, part_zero, lambda: sized((8,)), {"batch_size": 5})
    assert lens.probe_batch is not None
    assert [len(part) for part in lens.probe_batch.batches()] == [5] * 7 + [1]
