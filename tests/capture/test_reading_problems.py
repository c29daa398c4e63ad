from torch import nn

from lightning_factorlens.capture import reading_problems
from lightning_factorlens.capture.reading_problems import reading_problem
from lightning_factorlens.results import LayerInfo


def test_models_whose_passes_cannot_be_read_are_named(monkeypatch):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    table = [LayerInfo("1", "ReLU", (3,), 0.0, True, "non-negative activation")]
    monkeypatch.setattr(reading_problems, "has_compiled_code", lambda: False)  # other tests may have compiled code
    assert reading_problem(model, table) == ""
    handle = model[2].register_forward_hook(lambda *_: None)
    assert reading_problem(model, table) == "'2' has hooks of its own"
    handle.remove()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert reading_problem(model, table) == "there are global hooks of modules"
    handle.remove()
    monkeypatch.setattr(reading_problems, "has_compiled_code", lambda: True)
    assert "compiled again" in reading_problem(model, table)
    model[0]._compiled_call_impl = model[0].forward  # as `model[0].compile()` sets it
    assert reading_problem(model, table) == "'0' is compiled"
