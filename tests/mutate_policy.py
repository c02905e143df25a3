# ruff: noqa: T201  # a program for the terminal
"""Flips one thing at a time in the policy engine and counts what the tests notice.

``python -m tests.mutate_policy [MODULE …] [--every N]`` mutates the modules of
`broker.policy` that decide (or those named), runs the tests of decisions and of the
language on each mutant, and prints the survivors and the share of mutants killed.
Each mutant lives in a forked child only; no file is changed.
"""

import argparse
import ast
import copy
import importlib.util
import os
import resource
import sys
from collections.abc import Iterator

import hypothesis  # noqa: F401  # imported once, for all children
import yaml  # noqa: F401  # likewise

from tests import mutate_checks
from tests.support.evidence import keep
from tests.support.mutants import ROOT

PACKAGE = ROOT / "broker" / "policy"
MODULES = [
    *("evaluate", "principal", "compiled", "arn_pattern", "variables", "wildcard"),
    *("shared_issuers", "new_policy", "could_be_allowed"),
    *("conditions/compiler", "conditions/string"),
    *("conditions/values", "conditions/ip_address"),
    *("proofs/texts", "proofs/points", "proofs/boxes", "proofs/question"),
    *("proofs/principals", "proofs/checks", "proofs/work"),
]
TESTS = [
    f"tests/unit/policy/test_{name}.py"
    for name in (
        *("conditions", "variables", "wildcard", "principal", "shared_issuers"),
        *("compiled", "grammar", "explain", "could_be_allowed"),
    )
] + ["tests/unit/kinds/test_documents.py", "tests/unit/policy/proofs"]
SECONDS = 20
MEMORY_BYTES = 2 << 30
COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
}
SWAPPED_CALLS = {"any": "all", "all": "any"}


def variants(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901  # a table
    """The node with one thing flipped, in each way we know."""
    match node:
        case ast.Compare(ops=[only]):
            for other in COMPARISONS[type(only)]:
                yield changed(node, ops=[other()])
        case ast.BoolOp():
            yield changed(
                node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or()
            )
            for index in range(len(node.values)):
                rest = node.values[:index] + node.values[index + 1 :]
                yield rest[0] if len(rest) == 1 else changed(node, values=rest)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield changed(node, value=not value)
        case ast.Constant(value=int(value)):
            yield changed(node, value=value + 1)
            yield changed(node, value=value - 1)
        case ast.Call(func=ast.Name(id=name)) if name in SWAPPED_CALLS:
            yield changed(node, func=ast.Name(id=SWAPPED_CALLS[name], ctx=ast.Load()))
        case ast.If() | ast.IfExp():
            yield changed(node, test=ast.UnaryOp(op=ast.Not(), operand=node.test))
        case ast.BinOp(op=ast.Add()):
            yield changed(node, op=ast.Sub())
        case ast.BinOp(op=ast.Sub()):
            yield changed(node, op=ast.Add())
        case ast.Continue():
            yield ast.Break()


def changed(node: ast.AST, **fields: object) -> ast.AST:
    copied = copy.copy(node)
    for name, value in fields.items():
        setattr(copied, name, value)
    return copied


class Replace(ast.NodeTransformer):
    """Puts a variant in the place of the node with a number."""

    def __init__(self, number: int, variant: ast.AST) -> None:
        self.number, self.variant, self.seen = number, variant, -1

    def visit(self, node: ast.AST) -> ast.AST:
        self.seen += 1
        if self.seen == self.number:
            return ast.copy_location(self.variant, node)
        return self.generic_visit(node)


class Numbered(ast.NodeVisitor):
    """Lists nodes in the order in which `Replace` meets them."""

    def __init__(self) -> None:
        self.found: list[ast.AST] = []

    def visit(self, node: ast.AST) -> None:
        self.found.append(node)
        self.generic_visit(node)


def mutants(module: str) -> Iterator[tuple[str, ast.Module]]:
    source = (PACKAGE / f"{module}.py").read_text()
    numbered = Numbered()
    numbered.visit(ast.parse(source))
    # Frozen and slotted classes decide nothing, nor do the texts of errors.
    silent = {
        id(inner)
        for node in numbered.found
        for part in getattr(node, "decorator_list", [])
        + [node] * isinstance(node, ast.JoinedStr)
        for inner in ast.walk(part)
    }
    for number, node in enumerate(numbered.found):
        if id(node) in silent:
            continue
        for variant in variants(node):
            tree = Replace(number, variant).visit(ast.parse(source))
            place = f"{module}.py:{getattr(node, 'lineno', 0)}"
            before, after = (
                ast.unparse(node),
                ast.unparse(ast.fix_missing_locations(variant)),
            )
            label = f"{place}: {before[:70]!r} -> {after[:70]!r}"
            yield label, ast.fix_missing_locations(tree)


def decide_every_case() -> None:
    """The data first, without the cost of collecting tests: it kills most mutants."""
    place = ROOT / "tests" / "decisions" / "test_decisions.py"
    spec = importlib.util.spec_from_file_location("decisions", place)
    assert spec is not None
    assert spec.loader is not None
    decisions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(decisions)
    decisions.test_a_request_is_decided_as_documented()
    decisions.test_a_condition_holds_as_documented()


def is_killed(module: str, tree: ast.Module) -> bool:
    def decide() -> None:
        # A mutant may eat memory until it ends.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        decide_every_case()

    trees = {PACKAGE / f"{module}.py": tree}
    return mutate_checks.is_killed(trees, TESTS, cpu_seconds=SECONDS, first=decide)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("modules", nargs="*", default=MODULES)
    options.add_argument("--every", type=int, default=1)
    namespace = options.parse_args()
    os.chdir(ROOT)
    healthy = ast.parse((PACKAGE / "evaluate.py").read_text())
    if is_killed("evaluate", healthy):
        sys.exit("The tests fail without a mutant; run them first.")
    total = killed = 0
    for module in namespace.modules or MODULES:
        for label, tree in list(mutants(module))[:: namespace.every]:
            total += 1
            if is_killed(module, tree):
                killed += 1
            else:
                print(f"survived  {label}", flush=True)
        print(f"{killed} of {total} after {module}", flush=True)
    share = 100 * killed / total
    print(f"killed {killed} of {total} mutants: {share:.1f} %")
    keep("mutate_policy", tried=total, killed=killed, every=namespace.every)
    sys.exit(0 if share >= 95 else 1)


if __name__ == "__main__":
    main()
