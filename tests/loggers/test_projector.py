"""What TensorBoard's projector reads is F, and its images are the probe."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch.utils.tensorboard import SummaryWriter

from lightning_factorlens.loggers.projector import MAX_IMAGE_SIZE, sprites, write_embedding


@pytest.fixture
def written(tmp_path):
    def write(observation):
        writer = SummaryWriter(str(tmp_path))
        assert write_embedding(writer, observation, "factorlens_F")
        writer.close()
        config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
        return config.embeddings[0]

    return write


def test_the_table_is_F_and_names_the_strongest_component(observe, written, tmp_path):
    o = observe()
    info = written(o)
    F = o.factorization.F[o.factorization.ranks.index(8)].T.numpy()
    np.testing.assert_array_equal(np.loadtxt(tmp_path / info.tensor_path, delimiter="\t", dtype=np.float32), F)
    with open(tmp_path / info.metadata_path) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [int(row["image"]) for row in rows] == list(range(len(F)))
    assert [row["strongest component"] for row in rows] == [f"component {k}" for k in F.argmax(axis=1)]
    assert [row["its fraction"] for row in rows] == [f"{f.max() / f.sum():.2f}" for f in F]


@pytest.mark.parametrize("channels", [1, 3])
def test_sprite_pixels_are_the_images(observe, written, tmp_path, channels):
    images = torch.rand(24, channels, 12, 12)
    info = written(replace(observe(), inputs=images))
    assert list(info.sprite.single_image_dim) == [12, 12]
    sheet = np.asarray(Image.open(tmp_path / info.sprite.image_path))
    assert sheet.shape == (60, 60, 3)  # 24 images: five by five
    for n, image in enumerate(images):
        y, x = 12 * (n // 5), 12 * (n % 5)
        expected = image.expand(3, 12, 12).permute(1, 2, 0).numpy()
        np.testing.assert_allclose(sheet[y : y + 12, x : x + 12] / 255, expected, atol=1.001 / 255)


def test_sprites_of_normalised_large_and_oblong_images(monkeypatch):
    normalised = torch.randn(4, 3, 8, 8)
    stretched = sprites(normalised, 4)
    low, high = normalised.min(), normalised.max()
    torch.testing.assert_close(stretched, (normalised - low) / (high - low))
    large = torch.rand(4, 1, 4 * MAX_IMAGE_SIZE, 4 * MAX_IMAGE_SIZE)
    torch.testing.assert_close(sprites(large, 4), torch.nn.functional.avg_pool2d(large, 4))
    oblong = torch.rand(4, 2, 6, 9)
    square = sprites(oblong, 4)
    assert square.shape == (4, 1, 9, 9)
    torch.testing.assert_close(square[:, :, :6], oblong.mean(1, keepdim=True))
    assert (square[:, :, 6:] == 0).all()
    monkeypatch.setattr("lightning_factorlens.loggers.projector.MAX_SHEET_SIZE", 64)
    assert sprites(torch.rand(10, 1, 32, 32), 10).shape == (10, 1, 16, 16)  # four of them side by side


def test_without_images_the_points_are_written(observe, written):
    assert not written(replace(observe(), inputs=None)).HasField("sprite")
    assert sprites(torch.rand(5, 1, 4, 4), 6) is None
    assert sprites(torch.rand(6, 10), 6) is None


def test_without_a_factorization_nothing_is_written(observe):
    assert write_embedding(None, replace(observe(), factorization=None), "F") is False
