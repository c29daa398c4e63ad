"""Private attributes of lightning and torch are used in one package alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_factorlens

PACKAGE = Path(lightning_factorlens.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "_private_api")
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
def test_no_other_package_uses_a_private_attribute(path):
    assert private_uses(path.read_text()) == [], "move the use to lightning_factorlens/_private_api/"


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
    modules = [path.stem for path in (PACKAGE / "_private_api").glob("[a-z]*.py")]
    assert len(modules) > 5
    imports = "".join(f"import lightning_factorlens._private_api.{module}; " for module in modules)
    code = f"import sys; {imports} print([m for m in ('lightning', 'tensorboard') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
