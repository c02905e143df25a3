# ruff: noqa: T201  # a program for the terminal
"""Deletes one check at a time in the verification of proofs; a test must turn red.

``python -m tests.mutate_checks [saml|oidc …] [--every N] [--only MODULE]`` takes away,
in `broker.protocols`, each ``if`` that refuses, each part of its condition, and each
call that stands alone and so can only be there to refuse; runs the unit and attack
tests of the specification on each such mutant; and prints the survivors and how many
were killed. Each mutant lives in a forked child only; no file is changed.
"""

import argparse
import ast
import contextlib
import copy
import io
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Imported once, for all children; nothing of the broker is.
import cryptography.x509
import hypothesis
import jwt
import lxml.etree
import pytest
import xmlsec

from tests.support.evidence import keep
from tests.support.mutants import ROOT, MutantLoader, Swap

PROTOCOLS = ROOT / "broker" / "protocols"
SHARED = (cryptography.x509, hypothesis, jwt, lxml.etree, xmlsec)
CPU_SECONDS = 120


@dataclass(frozen=True)
class Suite:
    folder: Path
    modules: tuple[str, ...]
    tests: tuple[str, ...]


SUITES = {
    "json": Suite(ROOT / "broker" / "model", ("strict_json",), ("tests/unit/model",)),
    "oidc": Suite(
        PROTOCOLS / "oidc",
        (
            *("token", "verify", "claims", "logout", "jwks", "discovery"),
            *("aws_claims", "base64url"),
        ),
        (
            "tests/unit/protocols/oidc",
            "tests/attacks/test_oidc_claims.py",
            "tests/attacks/test_oidc_tokens.py",
        ),
    ),
    "saml": Suite(
        PROTOCOLS / "saml",
        (
            *("verify", "signature", "gate", "response", "conditions"),
            *("decryption", "attributes", "keys", "logout"),
        ),
        (
            "tests/unit/protocols/saml",
            *(
                f"tests/attacks/test_saml_{name}.py"
                for name in (
                    *("signature", "wrapping", "parsing", "conditions"),
                    *("encryption", "metadata", "aws_rules", "cost", "logout"),
                )
            ),
        ),
    ),
}


def refuses(statement: ast.If) -> bool:
    """Whether what stands under the condition ends in a refusal."""
    last = statement.body[-1]
    if isinstance(last, ast.Raise):
        return True
    return (
        isinstance(last, ast.Expr)
        and isinstance(last.value, ast.Call)
        and "refuse" in ast.unparse(last.value.func)
    )


def deletions(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """A node that checks, and what to put in its place."""
    for node in ast.walk(tree):
        match node:
            case ast.If() if refuses(node):
                yield node.test, ast.Constant(value=False)
                if isinstance(node.test, ast.BoolOp):
                    for index in range(len(node.test.values)):
                        rest = node.test.values[:index] + node.test.values[index + 1 :]
                        smaller = copy.copy(node.test)
                        smaller.values = rest
                        yield node.test, rest[0] if len(rest) == 1 else smaller
            case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if (
                "refuse" not in name
            ):
                yield node.value, ast.Constant(value=None)


def mutants(path: Path) -> Iterator[tuple[str, ast.Module]]:
    source = path.read_text()
    count = len(list(deletions(ast.parse(source))))
    for number in range(count):
        tree = ast.parse(source)
        old, new = list(deletions(tree))[number]
        label = f"{path.name}:{getattr(old, 'lineno', 0)}: {ast.unparse(old)[:100]!r}"
        if not (isinstance(new, ast.Constant) and new.value in {False, None}):
            label += f" -> {ast.unparse(new)[:100]!r}"
        mutated = Swap({old: new}).visit(tree)
        assert isinstance(mutated, ast.Module)
        yield label.replace("\n", " "), ast.fix_missing_locations(mutated)


def is_killed(
    trees: Mapping[Path, ast.Module],
    tests: Sequence[str],
    *,
    cpu_seconds: int = CPU_SECONDS,
    first: Callable[[], None] = lambda: None,
) -> bool:
    """Whether a test fails on the mutant, or what comes first; runs in a child."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        sys.meta_path.insert(0, MutantLoader(trees.get))
        options = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        with (
            Path(os.devnull).open("w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            try:
                first()
                code = pytest.main([*options, *tests])
            except BaseException:  # noqa: BLE001  # any way of dying counts
                code = 1
        # A test that is gone kills nothing.
        os._exit(0 if code in {0, pytest.ExitCode.USAGE_ERROR} else 1)
    _, status = os.waitpid(child, 0)
    return status != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], default=[])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="")
    namespace = parser.parse_args()
    os.chdir(ROOT)
    total = killed = 0
    for name in namespace.suites or SUITES:
        suite = SUITES[name]
        if is_killed({}, suite.tests):
            sys.exit("The tests fail without a mutant; run them first.")
        for module in suite.modules:
            if namespace.only not in {"", module}:
                continue
            path = suite.folder / f"{module}.py"
            # The tests of the module itself first: they kill most mutants.
            own = [
                str(path.relative_to(ROOT))
                for path in (ROOT / suite.tests[0]).glob(f"test_{module}.py")
            ]
            for label, tree in list(mutants(path))[:: namespace.every]:
                total += 1
                trees = {path: tree}
                if (own and is_killed(trees, own)) or is_killed(trees, suite.tests):
                    killed += 1
                else:
                    print(f"survived  {name}/{label}", flush=True)
            print(f"{killed} of {total} after {name}/{module}", flush=True)
    print(f"killed {killed} of {total} deletions")
    keep("mutate_checks", tried=total, killed=killed, every=namespace.every)


if __name__ == "__main__":
    main()
