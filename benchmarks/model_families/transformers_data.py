"""Random token sequences, images and sounds as dictionaries, with the keys that models of transformers take."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

N_CLASSES = 3
VOCABULARY = 64
#: The token that fills short sequences, and the label that losses ignore.
PADDING = 0
IGNORED = -100


class Sentences(Dataset[Any]):
    """Sentences of different lengths, in the format of a tokenized data set.

    Args:
        n: Number of sentences.
        seed: Seed of the tokens.
        labels: ``"class"``: a class for each sentence; ``"tokens"``: its own tokens, as language models take.
    """

    def __init__(self, n: int, seed: int, labels: str) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = labels
        self.sentences = []
        for index in range(n):
            length = 8 + index % 5
            self.sentences.append(torch.randint(2, VOCABULARY, (length,), generator=generator))

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        tokens = self.sentences[index]
        labels = tokens if self.labels == "tokens" else torch.tensor(index % N_CLASSES)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels}


def pad_sentences(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Pads sentences to the longest of the batch, as the data collators of transformers do."""
    batch = {}
    for key, fill in (("input_ids", PADDING), ("attention_mask", 0), ("labels", IGNORED)):
        values = [sample[key] for sample in samples]
        is_sequence = values[0].ndim == 1
        batch[key] = pad_sequence(values, True, fill) if is_sequence else torch.stack(values)
    return batch


class NamedTensors(Dataset[Any]):
    """Random samples in dictionaries.

    Args:
        n: Number of samples.
        seed: Seed of the values.
        shapes: Shape of the random normal numbers of a sample by key.
        tokens: Length of the random tokens ``input_ids`` of a sample; 0 for none.
        labels: Whether each sample has a class.
    """

    def __init__(
        self, n: int, seed: int, shapes: dict[str, tuple[int, ...]], tokens: int = 0, labels: bool = True
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.n = n
        self.values = {}
        for key, shape in shapes.items():
            self.values[key] = torch.randn(n, *shape, generator=generator)
        if tokens:
            self.values["input_ids"] = torch.randint(2, VOCABULARY, (n, tokens), generator=generator)
        if labels:
            self.values["labels"] = torch.arange(n) % N_CLASSES

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: values[index] for key, values in self.values.items()}
