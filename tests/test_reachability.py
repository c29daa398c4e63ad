"""Every public function and class is reached from the callback, the lens, the command line or the documentation."""

import ast
import re
from pathlib import Path

import lightning_factorlens

PACKAGE = Path(lightning_factorlens.__file__).parent
ROOT = PACKAGE.parent
NAME = "lightning_factorlens"
#: What a user calls; the documentation adds what its code blocks and tables import.
ROOTS = {
    (f"{NAME}.callbacks.factorlens_callback", "FactorLensCallback"),
    (f"{NAME}.callbacks.label_free_stopping", "LabelFreeStopping"),
    (f"{NAME}.lens.factor_lens", "FactorLens"),
    (f"{NAME}.integrations.hugging_face", "HuggingFaceCallback"),
    (f"{NAME}.cli.main", "main"),
}
#: Public definitions that nothing of the above reaches, each with its reason.
UNREACHED: dict[tuple[str, str], str] = {}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}


def definitions(module):
    """Top-level definitions and assignments of a module: name → its nodes."""
    found = {}
    for node in MODULES[module].body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(node)
    return found


def names_of_package(package):
    """Names that a package's ``__init__`` imports; such a name hides a module of the package that is called the same."""
    names = set()
    for node in MODULES[package].body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def imports(nodes):
    """Local name → (module, name) for imports of this package; name is None for a module."""
    found = {}
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == NAME:
                for alias in node.names:
                    as_module = f"{node.module}.{alias.name}"
                    is_module = as_module in MODULES and alias.name not in names_of_package(node.module)
                    found[alias.asname or alias.name] = (as_module, None) if is_module else (node.module, alias.name)
    return found


DEFINITIONS = {module: definitions(module) for module in MODULES}
IMPORTS = {module: imports(tree.body) for module, tree in MODULES.items()}


def resolve(module, name):
    """Where a name of a module is defined, following re-exports; None for names from elsewhere."""
    if name in DEFINITIONS.get(module, {}):
        return module, name
    target = IMPORTS.get(module, {}).get(name)
    if target is None or target[1] is None:
        return None
    return resolve(*target)


def references(module, nodes):
    """Definitions of the package that some nodes of a module mention."""
    for top in nodes:
        for node in ast.walk(top):
            if isinstance(node, ast.Name):
                yield resolve(module, node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                target = IMPORTS[module].get(node.value.id)
                if target is not None and target[1] is None:
                    yield resolve(target[0], node.attr)


def documented():
    """What the code blocks of the documentation and the scripts that write it import."""
    for script in sorted((ROOT / "docs").glob("*.py")):
        for module, name in imports(ast.parse(script.read_text()).body).values():
            if name is not None:
                yield resolve(module, name) or (module, name)
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            for module, name in imports(ast.parse(block).body).values():
                if name is not None:
                    yield resolve(module, name) or (module, name)


def reached():
    todo = [*ROOTS, *documented()]
    todo += [resolve(NAME, name) for name in lightning_factorlens.__all__]
    found = set()
    while todo:
        definition = todo.pop()
        if definition is None or definition in found:
            continue
        found.add(definition)
        module, name = definition
        todo += list(references(module, DEFINITIONS[module].get(name, [])))
    return found


def is_public(module, name):
    return not any(part.startswith("_") for part in [*module.split("."), name])


def test_every_public_definition_is_reached_or_has_its_reason():
    public = set()
    for module, found in DEFINITIONS.items():
        for name, nodes in found.items():
            if is_public(module, name) and any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in nodes):
                public.add((module, name))
    assert len(public) > 200
    unreached = public - reached()
    assert unreached == set(UNREACHED), sorted(unreached ^ set(UNREACHED))
    assert all(UNREACHED.values())
