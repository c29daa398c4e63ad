"""Samples from the command line: images of a folder, arrays, a torchvision data set, or an object by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_factorlens.cli.errors import CommandError
from lightning_factorlens.cli.importing import import_object

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
#: Modes of PIL's images by their number of channels.
MODES = {1: "L", 3: "RGB"}
#: Entries of an ``.npz`` file that are taken for the inputs, the first that is there: those of a test set before those
#: that the network was trained on.
ARRAY_NAMES = (
    *("images", "inputs", "x", "X", "data", "x_test", "test_x", "X_test", "test_images"),
    *("x_train", "train_x", "X_train", "train_images", "arr_0"),
)
FORMS = (
    "a folder of images, a file .npz, .npy or .pt, torchvision:NAME with --root, or the import path of a Dataset or "
    "LightningDataModule"
)


@dataclass(frozen=True)
class Preprocessing:
    """What happens to every image.

    Attributes:
        size: Edge of the square to which images are resized and cropped; None keeps them.
        mean: Subtracted from every channel, after images have been scaled to the range from 0 to 1.
        std: Divides every channel.
        channels: Number of channels to which image files and images of torchvision's data sets are converted: 1 for
            grey, 3 for colour. None for 3 of files, and for those that a data set has.

    Raises:
        CommandError: Another number of channels.
    """

    size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        if self.channels not in (None, *MODES):
            raise CommandError(f"--channels: must be 1 for grey or 3 for colour images, found {self.channels}.")

    def __call__(self, image: Any) -> Tensor:
        """Applies it to a PIL image or an image tensor (C, H, W)."""
        try:
            from torchvision.transforms import v2
        except ImportError as error:
            raise CommandError(
                "--data: images need torchvision: pip install 'lightning-factorlens[examples]'."
            ) from error
        if self.channels is not None and hasattr(image, "convert"):
            image = image.convert(MODES[self.channels])
        found = v2.functional.to_image(image)
        if self.size is not None:
            found = v2.functional.center_crop(v2.functional.resize(found, [self.size], antialias=True), [self.size])
        found = v2.functional.to_dtype(found, torch.float32, scale=True)
        return self.normalize(torch.as_tensor(found))

    def normalize(self, images: Tensor) -> Tensor:
        """Subtracts the mean and divides by the standard deviation of each channel; images (…, C, H, W)."""
        if self.mean is not None:
            images = images - torch.tensor(self.mean)[:, None, None]
        if self.std is not None:
            images = images / torch.tensor(self.std)[:, None, None]
        return images


class ImageFolder(Dataset[Tensor]):
    """The images below a folder, without labels.

    Args:
        folder: The folder; subfolders are read too.
        preprocessing: Applied to every image.

    Raises:
        CommandError: There are none.
    """

    def __init__(self, folder: Path, preprocessing: Preprocessing) -> None:
        self.files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        self.preprocessing = preprocessing
        if not self.files:
            raise CommandError(f"--data: {str(folder)!r} has no images ({', '.join(IMAGE_SUFFIXES)}).")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return self.preprocessing(image.convert("RGB") if self.preprocessing.channels is None else image)


def load_samples(
    data: str, preprocessing: Preprocessing, root: str | None = None, arguments: Mapping[str, Any] | None = None
) -> Any:
    """The samples that ``--data`` names; labels are dropped later.

    Args:
        data: See `FORMS`.
        preprocessing: Applied to images.
        root: Folder of a torchvision data set.
        arguments: Arguments of the object at an import path.

    Returns:
        A tensor, a dataset, or a loader.

    Raises:
        CommandError: There is nothing of the kind.
    """
    path = Path(data)
    if data.startswith("torchvision:"):
        return _torchvision(data.removeprefix("torchvision:"), root, preprocessing)
    if path.is_dir():
        return ImageFolder(path, preprocessing)
    if path.suffix in (".npz", ".npy", ".pt"):
        return preprocessing.normalize(_read_file(path))
    if "." in data or ":" in data:
        return _made(data, arguments or {})
    raise CommandError(f"--data: found {data!r}, which is no file; give {FORMS}.")


def _torchvision(name: str, root: str | None, preprocessing: Preprocessing) -> Any:
    kind = import_object("--data", f"torchvision.datasets.{name}")
    if root is None:
        raise CommandError(f"--root: torchvision:{name} needs the folder that holds the data set.")
    try:
        return kind(root, train=False, transform=preprocessing)
    except Exception as error:
        raise CommandError(f"--data: torchvision.datasets.{name} fails: {type(error).__name__}: {error}") from error


def _read_file(path: Path) -> Tensor:
    if not path.is_file():
        raise CommandError(f"--data: there is no file {str(path)!r}.")
    try:
        if path.suffix == ".pt":
            found = torch.load(path, map_location="cpu", weights_only=True)
        else:
            loaded = np.load(path, allow_pickle=False)
            found = torch.from_numpy(np.asarray(_array(loaded, path)).copy())
    except CommandError:
        raise
    except Exception as error:
        raise CommandError(f"--data: {str(path)!r} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(found, Tensor) or found.ndim < 2:
        raise CommandError(f"--data: {str(path)!r} must hold inputs (N, …) with at least two axes.")
    return _as_images(found)


def _array(loaded: Any, path: Path) -> Any:
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return loaded
    for name in ARRAY_NAMES:
        if name in loaded:
            return loaded[name]
    raise CommandError(
        f"--data: {str(path)!r} has the arrays {', '.join(loaded.files)}; one must be named {', '.join(ARRAY_NAMES)}."
    )


def _as_images(found: Tensor) -> Tensor:
    """Images of bytes get values from 0 to 1 and a first axis of channels; floats get single precision."""
    if found.dtype == torch.uint8:
        found = found.float() / 255
        if found.ndim == 3:
            return found.unsqueeze(1)  # grey images (N, H, W)
    elif found.is_floating_point():
        found = found.float()
    is_channels_last = found.ndim == 4 and found.shape[-1] in (1, 3, 4) and found.shape[1] not in (1, 3, 4)
    if is_channels_last:
        return found.movedim(-1, 1).contiguous()
    return found


def _made(path: str, arguments: Mapping[str, Any]) -> Any:
    """A dataset or loader from an object at an import path."""
    found = import_object("--data", path)
    try:
        made = found(**arguments) if callable(found) and not hasattr(found, "dataset") else found
        if hasattr(made, "val_dataloader"):
            made.prepare_data()
            made.setup("validate")
            made = made.val_dataloader()
            made = made[0] if isinstance(made, (list, tuple)) else made
    except Exception as error:
        raise CommandError(f"--data: {path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(made, (Dataset, DataLoader, Tensor)):
        raise CommandError(f"--data: {path} is a {type(made).__name__}; give a Dataset, a DataLoader or a tensor.")
    return made
