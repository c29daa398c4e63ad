"""A batch that is a dictionary is passed as keywords where `forward` has such parameters."""

import pickle
from collections import UserDict

import pytest
import torch
from masked_model import Masked, images
from torch import nn

from lightning_factorlens.capture.keyword_forward import KeywordForward, infer_forward_fn, trial_samples

SENTENCES = {
    "labels": torch.tensor([0, 1, 1]),
    "attention_mask": torch.ones(3, 5, dtype=torch.long),
    "input_ids": torch.arange(15).view(3, 5) % 10,
}


class Sentences(nn.Module):
    """Takes keywords as the models of transformers do."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)
        self.n_calls = 0

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, labels=None):
        self.n_calls += 1
        assert attention_mask is not None
        logits = self.head((self.embed(input_ids) * attention_mask[..., None]).mean(1))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


class NeedsLabels(Sentences):
    def forward(self, input_ids=None, attention_mask=None, labels=None):
        if labels is None:
            raise ValueError("You have to specify either decoder_input_ids or labels")
        return super().forward(input_ids, attention_mask, labels=labels)


class Delegates(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, *args, **kwargs):
        return self.net(*args, **kwargs)


class TakesBatch(Sentences):
    def forward(self, batch):
        return super().forward(batch["input_ids"], batch["attention_mask"])


class TakesBatchWithLabels(Sentences):
    def forward(self, batch):
        return super().forward(batch["input_ids"], batch["attention_mask"], labels=batch["labels"])


@pytest.mark.parametrize("kind", [dict, UserDict])
@pytest.mark.parametrize(
    ("model", "keys", "is_spread"),
    [
        (Sentences(), ("attention_mask", "input_ids"), True),
        (NeedsLabels(), ("labels", "attention_mask", "input_ids"), True),
        (Delegates(Sentences()), ("attention_mask", "input_ids"), True),
        (Delegates(NeedsLabels()), ("labels", "attention_mask", "input_ids"), True),
        (TakesBatch(), ("attention_mask", "input_ids"), False),
        (TakesBatchWithLabels(), ("labels", "attention_mask", "input_ids"), False),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, nn.Module) else "",
)
def test_how_a_model_is_called_is_found_out(model, keys, is_spread, kind):
    batch, n_calls = kind(SENTENCES), getattr(model, "n_calls", None)
    call = infer_forward_fn(model, batch)
    assert getattr(model, "n_calls", None) == n_calls  # the trials have left no trace
    assert call == KeywordForward(keys, is_spread)
    call = pickle.loads(pickle.dumps(call))
    assert call(model.eval(), batch)["logits"].shape == (3, 2)
    assert call.inputs(batch) is batch["input_ids"]
    assert type(call.select(batch)) is kind


def test_what_forward_does_not_take_is_left_out():
    call = infer_forward_fn(Masked(), images())
    assert call == KeywordForward(("mask", "image"))
    assert infer_forward_fn(Delegates(Masked()), images()) == call
    assert call.text == "model(mask=…, image=…)"


def test_the_first_part_of_a_batch_may_be_the_dictionary():
    call = infer_forward_fn(Sentences(), (SENTENCES, torch.zeros(3)))
    assert call.keys == ("attention_mask", "input_ids")
    assert call(Sentences(), (SENTENCES, torch.zeros(3)))["logits"].shape == (3, 2)


def test_models_that_take_the_inputs_alone_are_called_as_before():
    image = {"image": torch.rand(2, 3), "label": torch.zeros(2)}
    assert infer_forward_fn(nn.Linear(3, 2), image) is None
    assert infer_forward_fn(Delegates(nn.Linear(3, 2)), image) is None
    assert infer_forward_fn(nn.Linear(3, 2), {"input": torch.rand(2, 3), "label": torch.zeros(2)}) is None
    assert infer_forward_fn(nn.Linear(3, 2), (torch.rand(2, 3), torch.zeros(2))) is None
    assert infer_forward_fn(nn.Linear(3, 2), {"name": ["a", "b"]}) is None
    assert infer_forward_fn(Masked(), {"image": torch.rand(2, 1, 8, 8)}) is None  # the mask is missing


def test_a_required_parameter_is_passed_though_its_name_is_that_of_a_label():
    class Energy(nn.Module):
        def forward(self, x, y):
            return (x - y).square().sum(1, keepdim=True)

    batch = {"x": torch.rand(2, 3), "y": torch.rand(2, 3), "target": torch.zeros(2)}
    assert infer_forward_fn(Energy(), batch).keys == ("x", "y")


def test_a_model_that_takes_gradients_in_forward_can_be_tried():
    class Forces(nn.Module):
        def forward(self, positions, charges):
            positions.requires_grad_(True)
            energy = (positions.square().sum(-1) * charges).sum()
            return torch.autograd.grad(energy, positions)[0]

    batch = {"positions": torch.rand(2, 5, 3), "charges": torch.rand(2, 5)}
    assert infer_forward_fn(Forces(), batch).keys == ("positions", "charges")
    assert not batch["positions"].requires_grad


def test_a_few_samples_are_enough_for_a_trial():
    many = {key: value.repeat(5, *[1] * (value.ndim - 1)) for key, value in SENTENCES.items()}
    assert {len(value) for value in trial_samples(many).values()} == {4}
    assert trial_samples({"name": "x"}) == {"name": "x"}


def test_a_batch_without_a_dictionary_is_explained():
    with pytest.raises(TypeError, match="batch: must be a dictionary or begin with one, found Tensor"):
        KeywordForward(("x",))(nn.Linear(3, 2), torch.rand(2, 3))


@pytest.mark.parametrize("architecture", ["bert", "t5"])
def test_models_of_transformers(architecture):
    transformers = pytest.importorskip("transformers")
    batch = transformers.BatchEncoding({key: value.clone() for key, value in SENTENCES.items()})
    if architecture == "bert":
        config = transformers.BertConfig(
            vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
        model = transformers.BertForSequenceClassification(config)
        keys = ("attention_mask", "input_ids")
    else:
        config = transformers.T5Config(
            vocab_size=10, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
        model = transformers.T5ForConditionalGeneration(config)
        batch["labels"] = batch["input_ids"].clone()
        keys = ("labels", "attention_mask", "input_ids")
    call = infer_forward_fn(model, batch)
    assert call.keys == keys
    assert call(model, batch).logits.shape[0] == 3
