"""Private attributes of lightning and torch are used in one file, and exist in the installed versions."""

import ast
import multiprocessing
import subprocess
import sys
from datetime import timedelta
from multiprocessing.managers import BaseProxy
from pathlib import Path

import pytest
import torch
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, SequentialLR
from torch.utils.data import DataLoader, SubsetRandomSampler
from torch.utils.tensorboard import SummaryWriter

import lightning_factorlens
from lightning_factorlens import _private_api as private_api

PACKAGE = Path(lightning_factorlens.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "_private_api.py")
#: Documented attributes of named tuples, which begin with an underscore so that no field has the same name.
NAMED_TUPLE = {"_fields", "_replace", "_asdict", "_make", "_field_defaults"}
#: Functions whose string argument is the name of an attribute.
BY_NAME = {"getattr", "hasattr", "setattr", "delattr", "attrgetter", "methodcaller"}


def is_private(name):
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__")) and name not in NAMED_TUPLE


def defined_names(tree):
    """Names that a module defines: functions, classes, variables, and attributes of ``self`` and ``cls``."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value):
            names.add(node.attr)
    return names


def is_own(value):
    """Whether an expression is ``self``, ``cls`` or ``super()``."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def private_uses(source):
    """Lines of a module that use a private name of another package."""
    tree = ast.parse(source)
    own = defined_names(tree)
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            names = [node.attr] if node.attr not in own else []
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in BY_NAME:
            strings = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            names = [part for string in strings for part in string.split(".")]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("lightning_factorlens"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        found += [f"line {node.lineno}: {name}" for name in names if is_private(name) and name != "__future__"]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_file_uses_a_private_attribute(path):
    assert private_uses(path.read_text()) == [], "move the use to lightning_factorlens/_private_api.py"


@pytest.mark.parametrize(
    "source",
    [
        "trainer._data_source",
        "trainer.fit_loop._x.y",
        "getattr(logger, '_prefix', '')",
        "hasattr(writer, '_get_file_writer')",
        "operator.attrgetter('fit_loop._data_source')(trainer)",
        "from torch.nn.modules.conv import _ConvNd",
        "import torch._dynamo",
        "from torch.utils import _pytree",
        "torch._C._get_tracing_state()",
    ],
)
def test_private_uses_are_found(source):
    assert private_uses(source)


def test_own_private_names_are_allowed():
    source = """
class A:
    def __init__(self):
        self._x = 1
    def copy(self):
        other = A()
        other._x = self._x
        return super()._y(), other._x, type(other).__name__, point._replace(x=1)
"""
    assert private_uses(source) == []


def test_importing_it_loads_neither_lightning_nor_tensorboard():
    code = "import sys, lightning_factorlens._private_api; print([m for m in ('lightning', 'tensorboard') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_attributes_of_the_trainer_exist():
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    assert private_api.batches_that_stepped(trainer) == 0
    private_api.add_batches_that_stepped(trainer, 3)
    assert private_api.batches_that_stepped(trainer) == 3
    source = private_api.validation_data_source(trainer)
    assert callable(source.is_defined)
    assert callable(source.dataloader)
    private_api.callback_metrics_store(trainer)["a"] = torch.tensor(1.0)
    assert trainer.callback_metrics == {"a": torch.tensor(1.0)}


def test_strategies_that_train_in_child_processes_are_told_from_others():
    def trainer(strategy):
        return Trainer(
            logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu", devices=2,
            strategy=strategy,
        )  # fmt: skip

    for strategy in ("ddp_spawn", "ddp_fork", "ddp_notebook"):
        assert private_api.trains_in_child_processes(trainer(strategy))
    assert not private_api.trains_in_child_processes(trainer("ddp"))
    single = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)
    assert not private_api.trains_in_child_processes(single)


def test_the_validation_data_source_is_that_of_a_running_fit(tmp_path):
    found = []

    class Ask(LearningRateMonitor):
        def setup(self, trainer, pl_module, stage):
            source = private_api.validation_data_source(trainer)
            found.append((source.is_defined(), source.dataloader()))

    trainer = Trainer(
        default_root_dir=tmp_path, fast_dev_run=True, accelerator="cpu", callbacks=[Ask()], enable_progress_bar=False
    )
    trainer.fit(BoringModel())
    assert found[0][0]
    assert len(found[0][1]) == 64
    assert private_api.batches_that_stepped(trainer) == 1


def test_attributes_of_callbacks_exist():
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    for flag in (False, True):
        saves = private_api.save_on_train_epoch_end_method(ModelCheckpoint(save_on_train_epoch_end=flag))
        assert saves(trainer) is flag
        assert private_api.checks_on_train_epoch_end(EarlyStopping("x", check_on_train_epoch_end=flag)) is flag
    assert private_api.checks_on_train_epoch_end(EarlyStopping("x")) is None
    assert private_api.save_on_train_epoch_end_method(EarlyStopping("x")) is None
    assert private_api.checks_on_train_epoch_end(ModelCheckpoint()) is True
    assert private_api.saves_by_steps(ModelCheckpoint(every_n_train_steps=3))
    assert private_api.saves_by_steps(ModelCheckpoint(train_time_interval=timedelta(minutes=1)))
    assert not private_api.saves_by_steps(ModelCheckpoint())
    assert not private_api.saves_by_steps(EarlyStopping("x"))


def test_attributes_of_loggers_exist(tmp_path):
    logger = TensorBoardLogger(tmp_path, prefix="run", default_hp_metric=True)
    assert private_api.logger_name_prefix(logger) == "run"
    assert private_api.logger_name_prefix(CSVLogger(tmp_path, prefix="run")) == "run"
    assert private_api.logger_name_prefix(object()) == ""
    assert private_api.default_hp_metric(logger)
    assert not private_api.default_hp_metric(TensorBoardLogger(tmp_path, default_hp_metric=False))
    assert not private_api.default_hp_metric(object())


@pytest.mark.parametrize("name", ["MLFlowLogger", "CometLogger", "WandbLogger"])
def test_the_prefix_of_other_loggers_is_assigned_in_their_source(name):
    import inspect

    from lightning.pytorch import loggers

    assert "self._prefix" in inspect.getsource(getattr(loggers, name))


def test_attributes_of_the_summary_writer_exist(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        assert private_api.has_file_writer(writer)
        assert callable(private_api.file_writer(writer).add_summary)
    assert not private_api.has_file_writer(None)


def test_attributes_of_samplers_and_schedulers_exist():
    sampler = SubsetRandomSampler(range(4))
    wrapper = DistributedSamplerWrapper(sampler, num_replicas=2, rank=0)
    assert private_api.wrapped_sampler(wrapper.dataset) is sampler
    assert private_api.wrapped_sampler([1, 2]) is None
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    parts = [ConstantLR(optimizer), ConstantLR(optimizer)]
    assert list(private_api.sub_schedulers(ChainedScheduler(parts))) == parts
    assert list(private_api.sub_schedulers(SequentialLR(optimizer, parts, milestones=[2]))) == parts
    assert list(private_api.sub_schedulers(parts[0])) == []


def test_attributes_of_loaders_exist():
    class Own(DataLoader):
        def __iter__(self):
            return iter([])

    class Wrapped(DataLoader):
        def _get_iterator(self):
            return iter([])

    loader = DataLoader([1, 2], num_workers=1)
    assert not private_api.iterates_by_itself(loader)
    assert private_api.iterates_by_itself(Own([1]))
    assert private_api.iterates_by_itself(Wrapped([1]))
    iterator = iter(loader)
    private_api.shutdown_workers(iterator)
    assert not multiprocessing.active_children()


def test_the_hook_before_a_batch_is_transferred_is_called():
    class Doubles(BoringModel):
        def on_before_batch_transfer(self, batch, dataloader_idx):
            return 2 * batch

    class Ask(LearningRateMonitor):
        def on_train_start(self, trainer, pl_module):
            assert private_api.before_batch_transfer(pl_module, 4) == 8

    trainer = Trainer(logger=False, fast_dev_run=True, accelerator="cpu", callbacks=[Ask()], enable_progress_bar=False)
    trainer.fit(Doubles())


def test_attributes_of_modules_and_tensors_exist():
    norm = nn.BatchNorm1d(3)
    buffers = private_api.registered_buffers(norm)
    assert buffers["running_mean"] is norm.running_mean
    buffers["running_mean"] = torch.ones(3)
    assert torch.equal(norm.running_mean, torch.ones(3))
    tensor = torch.rand(4, 4)
    assert private_api.tensor_base(tensor[1:]) is tensor
    assert private_api.tensor_base(tensor) is None
    version = private_api.tensor_version(tensor)
    tensor.add_(1)
    assert private_api.tensor_version(tensor) == version + 1
    with torch.inference_mode():
        assert private_api.tensor_version(torch.rand(2)) is None
    convolutions = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.LazyConv2d, nn.LazyConvTranspose1d]
    assert all(issubclass(kind, private_api.ConvolutionBase) for kind in convolutions)
    assert not issubclass(nn.Linear, private_api.ConvolutionBase)


def test_torch_compile_inserts_the_level_that_is_removed():
    model = nn.Sequential(nn.Linear(2, 2), torch.compile(nn.Linear(2, 2), backend="eager"))
    compiled = torch.compile(model, backend="eager")
    paths = [private_api.uncompiled_path(path) for path, _ in compiled.named_modules()]
    assert paths == ["", "", "0", "1", "1."]


def test_values_of_a_manager_are_identified_and_their_calls_replaced(monkeypatch):
    monkeypatch.setattr(BaseProxy, "_callmethod", BaseProxy._callmethod)  # restored afterwards
    with multiprocessing.Manager() as manager:
        first, second = manager.list([1]), manager.list([1])
        keys = {private_api.manager_value_key(value) for value in (first, second, first)}
        assert len(keys) == 2
        private_api.replace_manager_calls(lambda original: lambda proxy, name, args=(), kwds=None: (name, args))
        assert first.count(3) == ("count", (3,))
