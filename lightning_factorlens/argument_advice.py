"""What to write in place of an argument that another class of the package has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature

_OF_STOPPING = ("monitor", "mode", "rule", "target", "min_probability", "restore_best")
_OF_TENSORBOARD = ("layout", "figures_every_n")
_OF_OBSERVING = (
    *("every_n_epochs", "every_n_train_steps", "max_overhead", "background", "resample_probe", "reuse_validation"),
    *("on_error", "verbose"),
)
_OF_WRITING = ("tensorboard", "sinks", "prefix", "detail")


def _same(names: Iterable[str], advice: str) -> dict[str, str]:
    """One advice for several arguments, in which ``{name}`` is the argument."""
    return {name: advice.format(name=name) for name in names}


_FOR_CALLBACKS = {
    "options": "write lens=LensOptions(…), or give its fields by name, such as ranks=(1, 4)",
    **_same(("model", "forward_context", "process_group", "state"), "the callback takes it from the Trainer"),
    **_same(_OF_STOPPING, "it is an argument of LabelFreeStopping, another callback"),
}
#: For `FactorLensCallback`.
FOR_LIGHTNING = {
    **_FOR_CALLBACKS,
    **_same(_OF_TENSORBOARD, "write tensorboard=TensorBoardOptions({name}=…)"),
}
#: For `HuggingFaceCallback`, whose Trainer decides when it observes.
FOR_TRANSFORMERS = {
    **_FOR_CALLBACKS,
    **_same(_OF_STOPPING, "pass the Trainer an EarlyStoppingCallback and metric_for_best_model"),
    **_same(
        ("every_n_epochs", "every_n_train_steps"),
        "it observes at every evaluation; give TrainingArguments eval_strategy and eval_steps",
    ),
    **_same(("tensorboard", *_OF_TENSORBOARD), "the Trainer's own loggers, which report_to names, have the scalars"),
    **_same(
        ("max_overhead", "background", "resample_probe", "reuse_validation", "verbose"),
        "FactorLensCallback alone has it, for the Trainer of Lightning",
    ),
}
#: For `FactorLens`, which a loop calls.
FOR_LENS = {
    "lens": "write options=LensOptions(…), or give its fields by name, such as ranks=(1, 4)",
    "probe": "pass the samples to its methods, as observe(samples)",
    **_same(_OF_OBSERVING, "it is an argument of FactorLensCallback; your loop decides when it calls observe"),
    **_same(
        _OF_WRITING,
        "it is an argument of FactorLensCallback; your loop writes what observe returns, for instance by write_jsonl",
    ),
    **_same(_OF_TENSORBOARD, "FactorLensCallback has it, in TensorBoardOptions; draw figures by plot()"),
    **_same(_OF_STOPPING, "it is an argument of LabelFreeStopping; in a loop call a rule such as default_rule()"),
}
#: For `LabelFreeStopping`, a subclass of Lightning's ``EarlyStopping`` whose rule has what is an argument there.
FOR_STOPPING = {
    "patience": "a rule has it: write rule=AfterWarmup(Patience(5)), or min_probability=… in its place",
    "min_delta": "a rule has it: write rule=AfterWarmup(Patience(10, min_delta=…))",
    **_same(("min_epochs", "min_steps"), "write rule=MinEpochs(default_rule(), epochs=…), or give it to the Trainer"),
    **_same(
        ("strict", "check_finite", "stopping_threshold", "divergence_threshold", "check_on_train_epoch_end"),
        "EarlyStopping alone has it; rules are in lightning_factorlens.stopping",
    ),
    **_same(
        {*_OF_OBSERVING, *_OF_WRITING, *_OF_TENSORBOARD, "probe", "probe_size", "measurements", "lens", "ranks"}
        - {"verbose"},
        "it is an argument of FactorLensCallback, another callback",
    ),
}


def arguments_of(made: type) -> list[str]:
    """The names of the arguments of a class, without those that it takes by ``**``.

    Args:
        made: The class.
    """
    parameters = signature(made).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]


def check_known(
    unknown: Iterable[str], allowed: Iterable[str], advice: Mapping[str, str], what: str, others: Sequence[str] = ()
) -> None:
    """Refuses arguments that a class does not have.

    Args:
        unknown: Names of the arguments that were passed by no name of the class.
        allowed: Names that it has.
        advice: What to write in place of some arguments, by their names.
        what: What the allowed names are called in the message.
        others: Further arguments of the class, which the message lists after them.

    Raises:
        TypeError: There is such an argument.

    Example:
        >>> check_known(["rank"], ["ranks", "seed"], {}, "options")
        Traceback (most recent call last):
        ...
        TypeError: rank: is no argument; did you mean ranks? The options are ranks, seed.
    """
    allowed = list(allowed)
    for name in unknown:
        if name in advice:
            raise TypeError(f"{name}: is no argument here; {advice[name]}.")
        if name not in allowed:
            meant = get_close_matches(name, [*others, *allowed], n=1)
            question = f"did you mean {meant[0]}? The" if meant else "the"
            message = f"{name}: is no argument; {question} {what} are {', '.join(allowed)}"
            rest = f"; the other arguments are {', '.join(others)}." if others else "."
            raise TypeError(message + rest)
