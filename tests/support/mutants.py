"""Modules of the broker that are imported from changed trees; no file is changed.

With the variables of `environment`, each process that a test starts imports a
``sitecustomize`` that calls `install` before anything of the broker.
"""

import ast
import builtins
import importlib.abc
import importlib.machinery
import json
import mmap
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
BROKER = ROOT / "broker"
MET, NEGATED, WORKER = "CONDITIONS_MET", "CONDITION_NEGATED", "PYTEST_XDIST_WORKER"


class Swap(ast.NodeTransformer):
    """Puts nodes in the place of others, which they may contain."""

    def __init__(self, changes: Mapping[ast.AST, ast.AST]) -> None:
        self._changes = changes

    def visit(self, node: ast.AST) -> ast.AST:
        visited: ast.AST = self.generic_visit(node)
        if node in self._changes:
            return ast.copy_location(self._changes[node], node)
        return visited


class _TreeLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> types.CodeType:  # noqa: ARG002  # the protocol's
        return compile(ast.fix_missing_locations(self._tree), self.path, "exec")


class MutantLoader(importlib.abc.MetaPathFinder):
    """Imports those modules from trees of which there is one."""

    def __init__(self, find_tree: Callable[[Path], ast.Module | None]) -> None:
        self._find_tree = find_tree

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,  # noqa: ARG002  # the protocol's
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != BROKER.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            return None
        if (tree := self._find_tree(Path(spec.origin))) is None:
            return None
        spec.loader = _TreeLoader(fullname, spec.origin, tree)
        return spec


def conditions(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        match node:
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                if not isinstance(test, ast.Constant):
                    yield test
            case ast.comprehension(ifs=ifs):
                yield from ifs


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Ours and these, for `install` in each process; ``folder`` is for the module."""
    file = folder / "sitecustomize.py"
    file.write_text("from tests.support.mutants import install\n\ninstall()\n")
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", **variables}


def install() -> None:
    """Has the broker imported as the variables say."""
    if which := os.environ.get(NEGATED):
        name, _, number = which.rpartition(":")
        path = Path(name)
        tree = ast.parse(path.read_text())
        expr = list(conditions(tree))[int(number)]
        Swap({expr: ast.UnaryOp(ast.Not(), expr)}).visit(tree)
        sys.meta_path.insert(0, MutantLoader({path: tree}.get))
    if folder := os.environ.get(MET):
        record_conditions(Path(folder))


def record_conditions(folder: Path) -> mmap.mmap:
    """Has each condition first mark its byte of a file that processes share."""
    firsts: dict[str, int] = json.loads((folder / "firsts.json").read_text())
    file = folder / os.environ.get(WORKER, "main")
    file.touch()
    os.truncate(file, firsts[""])
    with file.open("r+b") as opened:
        met = mmap.mmap(opened.fileno(), 0)
    builtins.__dict__["__met__"] = lambda number: met.__setitem__(number, 1)

    def find_tree(path: Path) -> ast.Module | None:
        if (first := firsts.get(str(path))) is None:
            return None
        tree = ast.parse(path.read_text())
        changes = {}
        for number, expr in enumerate(conditions(tree), first):
            mark = ast.Call(ast.Name("__met__", ast.Load()), [ast.Constant(number)], [])
            changes[expr] = ast.BoolOp(ast.Or(), [mark, expr])
        Swap(changes).visit(tree)
        return tree

    sys.meta_path.insert(0, MutantLoader(find_tree))
    return met
