"""Arguments that one of the package's classes has and another does not."""

import inspect

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from lightning_factorlens import FactorLens, FactorLensCallback, LabelFreeStopping, LensOptions, TensorBoardOptions
from lightning_factorlens.argument_advice import FOR_TRANSFORMERS

NET = nn.Linear(2, 2)
#: Arguments whose names say enough in an error that lists the options.
OWN_WORDS = {"factor", "min_lr", "cooldown", "tag_name", "min_epochs", "min_steps"}


def arguments_of(made):
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {name for name, found in inspect.signature(made).parameters.items() if found.kind not in kinds}


def test_fields_of_the_options_are_arguments_of_the_lens_and_of_the_callback():
    options = LensOptions(ranks=(1, 2), seed=3)
    assert FactorLens(NET, LensOptions(seed=3), ranks=(2, 1)).options == options
    assert FactorLensCallback(lens=LensOptions(seed=3), ranks=(2, 1)).options == options
    assert FactorLensCallback(ranks=(1, 2), seed=3).options == options
    with pytest.raises(ValueError, match="ranks: "):
        FactorLensCallback(ranks=0)
    with pytest.raises(TypeError, match=r"layer: is no argument; did you mean layers\? The options of a lens are"):
        FactorLensCallback(layer="conv")


@pytest.mark.parametrize("made", [FactorLens, FactorLensCallback])
def test_an_argument_of_another_class_is_accepted_or_the_error_says_what_to_write(made):
    others = set().union(*map(arguments_of, (FactorLens, FactorLensCallback, LabelFreeStopping, TensorBoardOptions)))
    first = (NET,) if made is FactorLens else ()
    for name in sorted(others - arguments_of(made) - OWN_WORDS):
        with pytest.raises(TypeError, match=f"^{name}: is no argument here; .*[a-z].*\\.$"):
            made(*first, **{name: 3})
    with pytest.raises(TypeError, match="options: is no argument here; write lens=LensOptions"):
        FactorLensCallback(options=LensOptions())
    with pytest.raises(TypeError, match="figures_every_n: .* write tensorboard=TensorBoardOptions"):
        FactorLensCallback(figures_every_n=2)
    with pytest.raises(TypeError, match=r"probe: .* as observe\(samples\)"):
        FactorLens(NET, probe=torch.rand(8, 2))


@pytest.mark.parametrize("made", [FactorLens, FactorLensCallback])
def test_a_mistyped_argument_is_answered_by_the_closest_one_and_by_all_that_are_allowed(made):
    first = (NET,) if made is FactorLens else ()
    for name in sorted(arguments_of(made) - {"model", "lens", "options"}):
        with pytest.raises(TypeError, match=rf"^{name}x: is no argument; did you mean {name}\? ") as caught:
            made(*first, **{f"{name}x": 3})
        for allowed in arguments_of(made) | arguments_of(LensOptions):
            assert f" {allowed}" in str(caught.value)


def test_the_stop_says_where_arguments_of_early_stopping_and_of_the_lens_belong():
    early = arguments_of(EarlyStopping) - {"monitor", "mode", "verbose", "log_rank_zero_only"}
    for name in sorted(early | arguments_of(FactorLensCallback) - arguments_of(LabelFreeStopping) - {"forward_fn"}):
        with pytest.raises(TypeError, match=f"^{name}: is no argument"):
            LabelFreeStopping(**{name: 3})
    with pytest.raises(TypeError, match=r"patience: is no argument here; a rule has it: write rule="):
        LabelFreeStopping(patience=3)
    with pytest.raises(
        TypeError, match=r"did you mean restore_best\? The arguments are monitor, rule, .*restore_best\.$"
    ):
        LabelFreeStopping(restore=True)


def test_the_callback_of_transformers_has_advice_for_the_same_arguments():
    pytest.importorskip("transformers", reason="transformers is not installed")
    from lightning_factorlens import HuggingFaceCallback

    others = set().union(*map(arguments_of, (FactorLens, FactorLensCallback, LabelFreeStopping, TensorBoardOptions)))
    assert others - arguments_of(HuggingFaceCallback) - OWN_WORDS <= set(FOR_TRANSFORMERS)
    with pytest.raises(TypeError, match="every_n_epochs: is no argument here; it observes at every evaluation"):
        HuggingFaceCallback(every_n_epochs=2)
    with pytest.raises(TypeError, match=r"lens: must be a LensOptions or None, found \{"):
        HuggingFaceCallback(lens={"ranks": (1, 2)})
