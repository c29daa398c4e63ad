"""What to write in place of an argument that another class of the package has."""

from __future__ import annotations

from collections.abc import Iterable

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
