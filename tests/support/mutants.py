"""Modules that are imported from a changed tree; no file is changed."""

import ast
import importlib.abc
import importlib.machinery
import types
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


class MutantLoader(importlib.abc.Loader, importlib.abc.MetaPathFinder):
    """Imports one module from a tree instead of its file."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.path = str(path)
        self.tree = tree

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # the protocol's
        target: types.ModuleType | None = None,  # noqa: ARG002  # the protocol's
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=self.path)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__file__ = self.path
        exec(compile(self.tree, self.path, "exec"), module.__dict__)
