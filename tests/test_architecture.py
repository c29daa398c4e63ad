"""The packages' order, read from the imports; ARCHITECTURE.md shows it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_factorlens

PACKAGE = Path(lightning_factorlens.__file__).parent
NAME = "lightning_factorlens"
FLOOR = {"results", "_validation", "_private_api", "distributed"}
SAMPLES = {"isolation", "batches", "sampling"}
MIDDLE = {"linalg", "capture", "factorization"} | SAMPLES | FLOOR
ANALYSES = {"metrics", "concepts", "hierarchy", "visualization", "spectra"} | MIDDLE
#: Package or module → those that it may import, besides itself.
MAY_IMPORT = {
    "results": set(),
    "_validation": set(),
    "_private_api": set(),
    "distributed": set(),
    "linalg": {"background"} | FLOOR,
    "isolation": {"_private_api"},
    "batches": set(),
    "sampling": {"isolation", "batches", "_private_api"},
    "capture": {"linalg"} | SAMPLES | FLOOR,
    "factorization": {"linalg"} | FLOOR,
    "spectra": MIDDLE,
    "metrics": MIDDLE,
    "concepts": MIDDLE,
    "hierarchy": MIDDLE,
    "visualization": MIDDLE,
    "plots": {"stopping", "results", "_validation"},
    "config": {"argument_advice", "factorization", "capture"} | FLOOR,
    "argument_advice": set(),
    "background": set(),
    "budget": {"results"},
    "run_state": {"budget", "batches", "capture", "results", "distributed", "_validation"},
    "measurements": {"background", "plots", "config", "stopping", "run_state"} | ANALYSES,
    "lens": {"argument_advice", "background", "measurements", "config", "run_state"}
    | {"concepts", "hierarchy", "visualization"}
    | MIDDLE,
    "loggers": {"background", "measurements", "plots", "config", "budget", "stopping"} | FLOOR,
    "stopping": {"results", "_validation"},
    "callbacks": {"lens", "loggers", "measurements", "config", "run_state", "budget", "background", "stopping"}
    | {"argument_advice", "capture"}
    | SAMPLES
    | FLOOR,
    "report": {
        "lens",
        "loggers",
        "plots",
        "measurements",
        "config",
        "hierarchy",
        "capture",
        "stopping",
        "results",
        "_validation",
    },
    "cli": {
        "report",
        "lens",
        "loggers",
        "plots",
        "measurements",
        "config",
        "results",
        "concepts",
        "hierarchy",
        "visualization",
        "spectra",
    },
    "integrations": {
        "argument_advice",
        "lens",
        "loggers",
        "measurements",
        "config",
        "run_state",
        "capture",
        "batches",
        "sampling",
    }
    | FLOOR,
    "__main__": {"cli"},
    "_public_names": set(),
    "__init__": {
        "_public_names",
        "callbacks",
        "integrations",
        "lens",
        "config",
        "loggers",
        "measurements",
        "stopping",
        "report",
    }
    | MIDDLE
    | ANALYSES,
}
#: Files that may import less than their package, and of their own package only what is named.
NARROWER = {
    "lens/model_runner.py": {"config", "capture"} | SAMPLES | FLOOR,
    "lens/pass_sizes.py": {"lens.model_runner", "batches", "capture", "results"},
    "lens/output_inspection.py": {"lens.model_runner", "batches", "capture", "isolation"},
    "lens/phase_timer.py": {"results"},
    "lens/shared_tensors.py": {"measurements", "_private_api"},
    "lens/pending_observation.py": {"measurements", "results"},
    "lens/capture_factorization.py": {"lens.phase_timer", "measurements", "linalg", "capture", "factorization"} | FLOOR,
    "lens/measurement_pass.py": {
        "lens.capture_factorization",
        "lens.model_runner",
        "lens.pending_observation",
        "lens.phase_timer",
        "lens.shared_tensors",
        "measurements",
        "run_state",
    }
    | MIDDLE,
    "lens/method_base.py": {"lens.model_runner", "config", "capture", "batches"} | FLOOR,
    "lens/concept_methods.py": {"lens.selection_methods", "concepts", "capture", "batches"} | FLOOR,
    "lens/hierarchy_methods.py": {"lens.selection_methods", "concepts", "hierarchy", "batches"} | FLOOR,
    "lens/layer_methods.py": {"lens.method_base", "hierarchy", "batches"} | FLOOR,
    "lens/visualization_methods.py": {"lens.method_base", "visualization"} | FLOOR,
}
#: Packages that only some may import.
HEAVY = {
    "lightning": {"callbacks"},
    "torchmetrics": {"metrics"},
    "matplotlib": {"plots", "loggers", "measurements", "cli", "results", "metrics", "report"},
    "tensorboard": {"loggers"},
    "pandas": {"loggers", "spectra"},
    "jinja2": {"report"},
    "transformers": {"integrations"},
}
#: Modules that import a package above their own, in a function: a result's method ``plot`` calls what draws it,
#: and concepts are collected on a page before.
UPWARD = {"results/plottable.py": {"plots", "concepts"}}
FILES = sorted(PACKAGE.rglob("*.py"))


def package_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                binds_the_package = alias.asname is None and alias.name.startswith(f"{NAME}.")
                assert alias.name != NAME and not binds_the_package, f"{path}: import names, the package reaches all"
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def exists(part):
    return (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").exists()


def is_allowed(module, allowed):
    """Whether the package's own module ``module``, or a name at its top level, lies within what is allowed."""
    parts = module.removeprefix(f"{NAME}.").split(".")
    if not exists(parts[0]):  # a public name counts as the module that it comes from
        parts = lightning_factorlens._MODULES.get(parts[0], parts[0]).split(".")
    return parts[0] in ("__version__", *allowed) or ".".join(parts[:2]) in allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_order_of_the_packages(path):
    package = package_of(path)
    assert package in MAY_IMPORT, f"{package} is new: draw it in ARCHITECTURE.md and add it to this test"
    file = path.relative_to(PACKAGE).as_posix()
    allowed = NARROWER.get(file, {package} | MAY_IMPORT[package] | UPWARD.get(file, set()))
    for module in imported_modules(path):
        if module.startswith(f"{NAME}."):
            assert is_allowed(module, allowed), f"{path} imports {module}"
        heavy = module.split(".")[0]
        assert package in HEAVY.get(heavy, {package}), f"{path} imports {module}"


def test_public_names_count_as_the_modules_that_they_come_from(tmp_path):
    assert not is_allowed(f"{NAME}.FactorLens", MAY_IMPORT["results"])
    assert is_allowed(f"{NAME}.FactorLens", MAY_IMPORT["callbacks"])
    assert is_allowed(f"{NAME}.__version__", MAY_IMPORT["results"])
    for statement in (f"import {NAME} as fl", f"import {NAME}.plots"):
        file = tmp_path / "file.py"
        file.write_text(f"def late():\n    {statement}\n")
        with pytest.raises(AssertionError, match="import names"):
            imported_modules(file)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_by_string(path):
    source = path.read_text()
    if path == PACKAGE / "__init__.py":  # its table of public names is an import by string that the next test reads
        return
    if path == PACKAGE / "cli/importing.py":  # imports the user's modules, and none of this package
        return
    for word in ("importlib.import_module", "__import__", "pkgutil", "sys.modules"):
        assert word not in source, f"{path} uses {word}"


def test_the_public_names_are_where_the_package_says():
    for name in lightning_factorlens.__all__:
        assert getattr(lightning_factorlens, name) is not None
    for module in lightning_factorlens._MODULES.values():
        assert module.split(".")[0] in MAY_IMPORT["__init__"], module


def test_type_checkers_and_dir_know_the_public_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    checked = {alias.asname: node.module for node in block.body for alias in node.names}
    assert checked == {name: f"{NAME}.{module}" for name, module in lightning_factorlens._MODULES.items()}
    listed = dir(lightning_factorlens)
    assert {*lightning_factorlens.__all__, "HuggingFaceCallback", "plots", "stopping"} <= set(listed)
    assert not {"Any", "TYPE_CHECKING", "annotations", "importlib"} & set(listed), "what a completion would offer"
    assert not any(exists(name) for name in lightning_factorlens._MODULES), "a module of that name would hide it"


def test_narrower_tables_are_of_files_that_exist_and_within_those_of_their_packages():
    for file, allowed in NARROWER.items():
        path = PACKAGE / file
        assert path.exists(), file
        for name in allowed:
            package = name.split(".")[0]
            assert package in MAY_IMPORT[package_of(path)] or (PACKAGE / f"{name.replace('.', '/')}.py").exists(), name


def test_every_order_has_no_circle():
    done = set()
    while len(done) < len(MAY_IMPORT):
        ready = [package for package, below in MAY_IMPORT.items() if package not in done and below <= done]
        assert ready, f"a circle among {set(MAY_IMPORT) - done}"
        done.update(ready)


LIGHT = [NAME, f"{NAME}.factorization", f"{NAME}.spectra", f"{NAME}.stopping", f"{NAME}.measurements", f"{NAME}.lens"]


@pytest.mark.parametrize("module", LIGHT)
def test_import_stays_light(module):
    heavy = ("lightning", "matplotlib", "tensorboard", "torchmetrics", "pandas", "transformers")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
