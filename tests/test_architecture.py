"""The house's direction, read from the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lightning_factorlens

PACKAGE = Path(lightning_factorlens.__file__).parent
FLOOR = {"types", "arguments", "teamwork"}
MAY_IMPORT = {
    "types": set(),
    "arguments": set(),
    "budget": {"types"},
    "teamwork": set(),
    "linalg": FLOOR,
    "probing": {"linalg"} | FLOOR,
    "factorization": {"linalg"} | FLOOR,
    "metrics": {"factorization", "probing", "linalg"} | FLOOR,
    "concepts": {"factorization", "probing", "linalg"} | FLOOR,
    "stopping": {"types", "arguments"},
    "sinks": FLOOR,
    "options": {"factorization", "probing"} | FLOOR,
    "lens": {"options", "metrics", "concepts", "factorization", "probing", "linalg"} | FLOOR,
    "trainer": {"probing"} | FLOOR,
    "diary": {"budget", "lens", "options", "metrics", "concepts", "factorization", "probing", "linalg", "sinks"}
    | FLOOR,
    "callback": {
        "trainer",
        "diary",
        "budget",
        "lens",
        "options",
        "sinks",
        "metrics",
        "concepts",
        "factorization",
        "probing",
        "linalg",
    }
    | FLOOR,
    "rates": {"stopping"} | FLOOR,
    "label_free_stopping": {"callback", "trainer", "rates", "stopping"} | FLOOR,
    "__init__": {"callback", "label_free_stopping", "lens", "options", "probing", "sinks"},
}
OUTSIDE = {
    "lightning": {"callback", "trainer", "rates", "label_free_stopping"},
    "torchmetrics": {"metrics"},
    "matplotlib": {"sinks"},
    "tensorboard": {"sinks"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_house(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} is a new room: draw it in ARCHITECTURE.md and in this test"
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] == "lightning_factorlens" and len(parts) > 1 and (PACKAGE / parts[1]).exists():
            assert parts[1] == room or parts[1] in MAY_IMPORT[room], f"{path} imports {module}"
        if parts[0] == "lightning_factorlens" and len(parts) > 1 and (PACKAGE / f"{parts[1]}.py").exists():
            assert parts[1] == room or parts[1] in MAY_IMPORT[room], f"{path} imports {module}"
        if parts[0] in OUTSIDE:
            assert room in OUTSIDE[parts[0]], f"{path} imports {module}"


LIGHT = ["lightning_factorlens", "lightning_factorlens.factorization", "lightning_factorlens.stopping"]


@pytest.mark.parametrize("module", LIGHT)
def test_import_stays_light(module):
    heavy = ("lightning", "matplotlib", "tensorboard", "torchmetrics")
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
