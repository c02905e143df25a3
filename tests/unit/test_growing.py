"""What a process keeps is in `BoundedCache`, or says in `growing.yaml` what bounds it.

Named are the collections of modules and of objects to which anything is added, and the
functions whose answers are cached for arguments.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

BROKER = Path(__file__).parents[2] / "broker"
DECLARED = Path(__file__).with_name("growing.yaml")
DISPLAYS = ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp
KINDS = {
    *("dict", "list", "set", "bytearray", "defaultdict", "OrderedDict", "Counter"),
    *("deque", "Queue", "SimpleQueue", "WeakKeyDictionary", "WeakValueDictionary"),
    "WeakSet",
}
BOUNDS = {"maxlen", "maxsize"}
ADDS = {
    *("append", "appendleft", "add", "setdefault", "update", "extend", "insert"),
    *("put", "put_nowait"),
}
CACHED = {"cache", "lru_cache"}


def last_name(node: ast.AST) -> str:
    """Of a name, an attribute, a subscript or a call of these."""
    while isinstance(node, (ast.Subscript, ast.Call)):
        node = node.value if isinstance(node, ast.Subscript) else node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def makes_collection(value: ast.AST | None) -> bool:
    if isinstance(value, ast.Call):
        factory = [k.value for k in value.keywords if k.arg == "default_factory"]
        kind = last_name(factory[0] if factory else value.func)
        return kind in KINDS and not any(k.arg in BOUNDS for k in value.keywords)
    if isinstance(value, ast.BoolOp | ast.IfExp):
        return any(map(makes_collection, ast.iter_child_nodes(value)))
    return isinstance(value, DISPLAYS)


def added_to(tree: ast.AST) -> set[str]:
    """The names of everything that gets more somewhere in a module."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {
                last_name(target)
                for target in targets
                if isinstance(target, ast.Subscript) or isinstance(node, ast.AugAssign)
            }
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names |= {last_name(node.func.value)} if node.func.attr in ADDS else set()
    return names


def assigned(nodes: Iterable[ast.AST]) -> Iterator[ast.expr]:
    """What a new collection is given to."""
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and makes_collection(
            node.value
        ):
            yield from node.targets if isinstance(node, ast.Assign) else [node.target]


def growing(source: str) -> Iterator[str]:
    """What grows in a module, as `growing.yaml` names it."""
    tree = ast.parse(source)
    added = added_to(tree)
    for target in assigned(tree.body):
        if isinstance(target, ast.Name) and target.id in added:
            yield target.id
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            if KINDS & set(map(last_name, node.bases)):
                yield node.name
            held = {t.id for t in assigned(node.body) if isinstance(t, ast.Name)} | {
                target.attr
                for target in assigned(ast.walk(node))
                if isinstance(target, ast.Attribute)
                and last_name(target.value) == "self"
            }
            yield from (f"{node.name}.{name}" for name in held & added)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            takes = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            if takes and CACHED & set(map(last_name, node.decorator_list)):
                yield f"{node.name}()"


def test_everything_that_grows_says_what_bounds_it() -> None:
    grows = {
        name
        for path in BROKER.rglob("*.py")
        for name in growing(path.read_text("utf-8"))
    }
    reasons = yaml.safe_load(DECLARED.read_text("utf-8"))
    declared = [name for names in reasons.values() for name in names.split()]
    assert len(declared) == len(set(declared))
    assert grows - set(declared) == set(), "bound it by BoundedCache, or say what does"
    assert set(declared) - grows == set(), "grows no longer"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("KNOWN = {}\ndef f(k): KNOWN[k] = 1", {"KNOWN"}),
        ("KNOWN: dict[str, int] = dict()\ndef f(k): KNOWN.setdefault(k, 1)", {"KNOWN"}),
        ("KNOWN = {'a': 1}\ndef f(k): return KNOWN[k]", set()),
        ("class A:\n def f(self):\n  self.x = []\n  self.x.append(1)", {"A.x"}),
        ("class A:\n def f(self):\n  self.x = []\n  self.x += [1]", {"A.x"}),
        (("class A:\n x: list[int] = field(default_factory=list)\n"
         " def f(self): self.x.insert(0, 1)"), {"A.x"}),
        (("class A:\n def f(self, x=None):\n  self.x = x or set[int]()\n"
         "  self.x.add(1)"), {"A.x"}),
        ("class A:\n def f(self):\n  self.x = deque(maxlen=3)\n  self.x.append(1)", set()),
        ("class A:\n def f(self):\n  self.x = BoundedCache()\n  self.x.put(1)", set()),
        ("class A(dict[str, int]): ...", {"A"}),
        ("@lru_cache(8)\ndef f(text): ...", {"f()"}),
        ("@cache\ndef f(): ...", set()),
    ],
)  # fmt: skip
def test_what_grows_is_seen(source: str, names: set[str]) -> None:
    assert set(growing(source)) == names
