"""Some families of Hugging Face's transformers, made from small configurations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from benchmarks.model_families.family import TRAINING_SAMPLES, VALIDATION_SAMPLES, Family, Task, make_task
from benchmarks.model_families.transformers_data import (
    N_CLASSES,
    VOCABULARY,
    NamedTensors,
    Sentences,
    pad_sentences,
)

#: The call of the model that Lightning's tutorials write.
BY_KEYWORD = "forward_fn=lambda model, batch: model(**batch)"
#: Sizes of a small transformer, in the names that BERT, ViT and their relatives share.
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TEXT = {"vocab_size": VOCABULARY, **SMALL}


class TransformersModule(LightningModule):
    """A model of transformers as Lightning's tutorials wrap it: the batch is passed by name, the model has the loss."""

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__()
        self.model = model
        self.options = options

    def forward(self, **batch: Any) -> Any:
        """Returns the model's output object."""
        return self.model(**batch, **self.options)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Returns the model's loss."""
        loss: Tensor = self(**batch).loss
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Logs the model's loss."""
        self.log("val_loss", self(**batch).loss)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, which transformers' own trainer uses."""
        return torch.optim.AdamW(self.parameters(), lr=1e-4)


def _make_text(model: str, config: str, options: dict[str, Any], labels: str) -> Task:
    import transformers

    configuration = getattr(transformers, config)(**options)
    module = TransformersModule(getattr(transformers, model)(configuration))
    training = Sentences(TRAINING_SAMPLES, 1, labels)
    validation = Sentences(VALIDATION_SAMPLES, 2, labels)
    return make_task(module, training, validation, collate_fn=pad_sentences)


def _make_named(model: str, config: str, options: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> Task:
    import transformers

    configuration = getattr(transformers, config)(**options)
    module = TransformersModule(getattr(transformers, model)(configuration))
    training = NamedTensors(TRAINING_SAMPLES, 1, shapes)
    return make_task(module, training, NamedTensors(VALIDATION_SAMPLES, 2, shapes))


def _make_clip() -> Task:
    from transformers import CLIPConfig, CLIPModel

    text = {**TEXT, "max_position_embeddings": 16, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 1}
    vision = {**SMALL, "image_size": 32, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    shapes: dict[str, tuple[int, ...]] = {"pixel_values": (3, 32, 32)}
    training = NamedTensors(TRAINING_SAMPLES, 1, shapes, tokens=8, labels=False)
    validation = NamedTensors(VALIDATION_SAMPLES, 2, shapes, tokens=8, labels=False)
    return make_task(TransformersModule(model, return_loss=True), training, validation)


def _options_of_text_models() -> dict[str, tuple[str, str, dict[str, Any], str]]:
    """Class of the model and of its configuration, its options and the kind of labels, by family."""
    distilbert = {"vocab_size": VOCABULARY, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2}
    gpt2 = {"vocab_size": VOCABULARY, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
    gpt2 |= {"bos_token_id": 1, "eos_token_id": 1}
    t5 = {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    t5 |= {"decoder_start_token_id": 0}
    classes = {"num_labels": N_CLASSES}
    return {
        "bert": ("BertForSequenceClassification", "BertConfig", {**TEXT, **classes}, "class"),
        "distilbert": ("DistilBertForSequenceClassification", "DistilBertConfig", {**distilbert, **classes}, "class"),
        "gpt2": ("GPT2LMHeadModel", "GPT2Config", gpt2, "tokens"),
        "llama": ("LlamaForCausalLM", "LlamaConfig", TEXT, "tokens"),
        "t5": ("T5ForConditionalGeneration", "T5Config", t5, "tokens"),
    }


def _options_of_other_models() -> dict[str, tuple[str, str, dict[str, Any], dict[str, tuple[int, ...]]]]:
    """Class of the model and of its configuration, its options and the shapes of its inputs, by family."""
    images: dict[str, tuple[int, ...]] = {"pixel_values": (3, 32, 32)}
    sounds: dict[str, tuple[int, ...]] = {"input_values": (1600,)}
    classes = {"num_labels": N_CLASSES}
    vit = {**SMALL, **classes, "image_size": 32, "patch_size": 8}
    convnext = {**classes, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "image_size": 32}
    wav2vec2 = {**SMALL, **classes, "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16}
    wav2vec2 |= {"num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16, "mask_time_prob": 0.0}
    return {
        "convnext": ("ConvNextForImageClassification", "ConvNextConfig", convnext, images),
        "vit": ("ViTForImageClassification", "ViTConfig", vit, images),
        "wav2vec2": ("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", wav2vec2, sounds),
    }


def _family(name: str, model: str, make: Callable[[], Task]) -> Family:
    return Family(f"transformers.{name}", f"{model}, small configuration", make, ("transformers",), BY_KEYWORD)


def transformers_families() -> list[Family]:
    """The text models, the models of images and sounds, and CLIP, which takes both images and texts."""
    families = []
    for name, (model, config, options, labels) in _options_of_text_models().items():
        families.append(_family(f"text.{name}", model, partial(_make_text, model, config, options, labels)))
    for name, (model, config, options, shapes) in _options_of_other_models().items():
        kind = "audio" if "input_values" in shapes else "image"
        families.append(_family(f"{kind}.{name}", model, partial(_make_named, model, config, options, shapes)))
    families.append(_family("multimodal.clip", "CLIPModel", _make_clip))
    return families
