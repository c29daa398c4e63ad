"""Reads what griffe does not take from this package's sources: ``Example:`` sections and comments of constants."""

from __future__ import annotations

import re
from typing import Any

import griffe


class PackageDocstrings(griffe.Extension):
    """Completes the docstrings of objects before mkdocstrings shows them."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Renames ``Example:`` to ``Examples:``, the only section of doctests that griffe knows."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **kwargs: Any) -> None:
        """Takes the comment ``#: …`` above a constant as its docstring; without one, the constant is only named."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.parent, griffe.Module):
            return
        above = attr.lines_collection[attr.filepath][: attr.lineno - 1]
        comment: list[str] = []
        while above and above[-1].startswith("#:"):
            comment.insert(0, above.pop().removeprefix("#:").strip())
        if not attr.name.startswith("_"):
            attr.docstring = griffe.Docstring(" ".join(comment) or "A type or constant.", parent=attr)

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Gives names that a package exports precedence over its modules of the same name, as importing them does."""
        loader.resolve_aliases(implicit=True)
        for package in list(pkg.modules.values()):
            for name in map(str, package.exports or ()):
                module = package.members.get(name)
                if isinstance(module, griffe.Module) and name in module.members:
                    package.members[name] = griffe.Alias(name, module.members[name], parent=package)
