"""Unlabelled samples from the datasets of transformers' Trainer, and how its model is called on them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from lightning_factorlens.capture.keyword_forward import LABEL_KEYS, dictionary_of
from lightning_factorlens.sampling.probe_batch import ProbeSource

#: What the names of transformers' classes end in that classify whole samples.
CLASSIFIERS = (
    "ForSequenceClassification",
    "ForImageClassification",
    "ForAudioClassification",
    "ForVideoClassification",
)
#: What transformers calls the tasks of such a class, and what this package calls their outputs.
OUTPUTS = {
    "single_label_classification": "classes",
    "multi_label_classification": "multilabel",
    "regression": "regression",
}


@dataclass(frozen=True)
class UnlabelledCollator:
    """Collates samples as the Trainer does, and then drops the labels.

    Attributes:
        collate: The Trainer's collator.
        labels: Keys of labels.
        columns: Keys of samples that the collator receives; None for all.
    """

    collate: Any
    labels: frozenset[str]
    columns: frozenset[str] | None

    def __call__(self, samples: list[Any]) -> Any:
        """Collates samples that are dictionaries; the labels of others are dropped where the batch is a dictionary."""
        if self.columns is not None and all(isinstance(sample, Mapping) for sample in samples):
            samples = [{key: sample[key] for key in sample if key in self.columns} for sample in samples]
        batch = self.collate(samples)
        entries = dictionary_of(batch)
        if entries is None or entries is not batch:
            return batch
        return {key: value for key, value in entries.items() if key not in self.labels}


def trainer_samples(trainer: Any) -> ProbeSource:
    """A loader of unlabelled samples: of the first evaluation dataset, or of the training dataset where there is none.

    Args:
        trainer: The Trainer.

    Raises:
        ValueError: It has neither.
    """
    dataset = trainer.eval_dataset
    if isinstance(dataset, Mapping):
        dataset = next(iter(dataset.values()), None)
    if dataset is None:
        dataset = trainer.train_dataset
    if dataset is None:
        raise ValueError(
            "probe: found neither an eval_dataset nor a train_dataset in the Trainer; pass a dataset, a loader or a "
            "batch, as HuggingFaceCallback(probe=…)."
        )
    labels = frozenset([*LABEL_KEYS, "label_ids", *(trainer.label_names or ())])
    columns = None
    if trainer.args.remove_unused_columns:
        columns = _columns(trainer.model, labels)
    collator = UnlabelledCollator(trainer.data_collator, labels, columns)
    return DataLoader(dataset, trainer.args.per_device_eval_batch_size, collate_fn=collator)


def _columns(model: nn.Module, labels: Iterable[str]) -> frozenset[str] | None:
    """The keys that the Trainer's collator receives: parameters of ``forward`` and labels; None where it takes any."""
    base: Any = model
    if hasattr(model, "get_base_model"):  # an adapter takes any keyword
        base = base.get_base_model()
    parameters = inspect.signature(base.forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()) and len(parameters) == 1:
        return None
    return frozenset([*parameters, *labels])


def task_outputs(model: nn.Module) -> str | None:
    """What the output of a model of transformers is, by its class and configuration.

    A classifier whose configuration does not name the task is one of single labels, unless it has one output.

    Args:
        model: The model.

    Returns:
        A word for ``outputs=`` of `FactorLens`; None where the class does not tell.
    """
    config = getattr(model, "config", None)
    if config is None or not type(model).__name__.endswith(CLASSIFIERS):
        return None
    task = getattr(config, "problem_type", None)
    if task is None:
        task = "regression" if getattr(config, "num_labels", 2) == 1 else "single_label_classification"
    return OUTPUTS.get(task)
