"""What sources look like: short forms are explained, limits are named in one way."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("docs/sources.md", "tests/attacks/README.md", "tests/decisions/README.md")
EXPLAINED = {
    name
    for page in PAGES
    for line in (ROOT / page).read_text("utf-8").splitlines()
    if line.startswith("| ")
    for name in line.split("|")[1].strip().split(", ")
}
ID = re.compile(r"\b(?:(?:SAML|OIDC|STS|GEN|POL)-\d{2}|REC-[A-Z]|STS-(?:M|EX)|CAP)\b")


@pytest.mark.parametrize("folder", ["broker", "tests"])
def test_every_short_form_is_explained(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*")):
        if "node_modules" in path.parts or path.suffix not in {".py", ".yaml", ".json"}:
            continue
        unknown = set(ID.findall(path.read_text("utf-8"))) - EXPLAINED
        assert not unknown, f"{path.relative_to(ROOT)}: {unknown}"


def test_limits_are_named_in_one_way() -> None:
    other = re.compile(
        r"^(_?(?:MAX|LONGEST|MOST|LARGEST|MIN|SHORTEST|SMALLEST)_\w+|\w+_MAX_\w+|\w*_LIMIT)"
        r"(?:: \w+)? = ",
        re.MULTILINE,
    )
    for path in (ROOT / "broker").rglob("*.py"):
        results = other.findall(path.read_text("utf-8"))
        assert not results, (
            f"{path.relative_to(ROOT)}: {results} should end in _MAX or _MIN"
        )


def test_no_two_classes_have_one_name() -> None:
    """The agent and the client stand alone; SCIM's resources are called as SCIM does."""
    apart = ("agent", "client", "protocols/scim/resources.py", "model/types")
    results: dict[str, str] = {}
    for path in sorted((ROOT / "broker").rglob("*.py")):
        place = path.relative_to(ROOT / "broker").as_posix()
        if not place.startswith(apart):
            for name in re.findall(
                r"^class ([A-Z]\w*)", path.read_text("utf-8"), re.MULTILINE
            ):
                assert name not in results, f"{name} is in {place} and {results[name]}"
                results[name] = place


def test_a_verb_promises_what_the_function_returns() -> None:
    """The grammar of CONTRIBUTING.md, as far as an annotation shows it."""
    function = re.compile(
        r"^ *(?:async )?def _*((find|get|check|verify|require)_\w+)\(.*?\) -> (.+?):$",
        re.MULTILINE | re.DOTALL,
    )
    some = re.compile(r"None|^str$|^(?!tuple)\w+\[|^tuple\[.*\.\.\.\]$", re.DOTALL)
    broken = {
        f"{path.relative_to(ROOT)}: {name} -> {returned}"
        for path in (ROOT / "broker").rglob("*.py")
        for name, verb, returned in function.findall(path.read_text("utf-8"))
        if (verb == "find" and not some.search(returned))
        or (verb == "get" and "None" in returned)
        or (verb == "check" and returned != "None" and "Finding" not in returned)
        or (verb in {"verify", "require"} and returned == "bool")
    }
    assert broken == set()


def test_a_unit_test_stands_where_its_module_does() -> None:
    """Otherwise it is about the package of its folder, from which it imports."""
    unit = ROOT / "tests/unit"
    for path in sorted(unit.rglob("test_*.py")):
        folder, name = path.parent.relative_to(unit), path.stem.removeprefix("test_")
        package = ROOT / "broker" / folder
        assert package.is_dir() or folder.name == "samples", f"{path}: no such package"
        if (package / f"{name}.py").exists() or (package / name).is_dir():
            continue
        text = path.read_text("utf-8")
        own = f"from {'.'.join(('broker', *folder.parts))}"
        modules = re.findall(
            rf"^from (broker\.[\w.]+\.{name}) import", text, re.MULTILINE
        )
        if not folder.parts or own not in text:
            assert not modules, f"{path}: is not where {modules[0]} is tested"


def test_every_case_in_a_file_is_used_by_its_module() -> None:
    for path in sorted((ROOT / "tests").rglob("*.yaml")):
        module = path.with_suffix(".py")
        if module.exists():
            names = re.findall(r"^(\w+):", path.read_text("utf-8"), re.MULTILINE)
            text = module.read_text("utf-8")
            unused = {name for name in names if not re.search(rf"\b{name}\b", text)}
            assert not unused, f"{path.relative_to(ROOT)}: {unused}"


def test_a_record_is_a_struct() -> None:
    """The agent and the client do without libraries."""
    hides = re.compile(
        r"^class \w+\((?!Confidential)[^\n]*\n(?: .*\n|\n)*?.*: Hidden\["
        r"|import annotations\n(?:.*\n)*?.*: Hidden\[",  # which are texts there
        re.MULTILINE,
    )
    for path in (ROOT / "broker").rglob("*.py"):
        text, place = path.read_text("utf-8"), path.relative_to(ROOT / "broker")
        assert "@dataclass" not in text or place.parts[0] in {"agent", "client"}, place
        assert not hides.search(text), f"{place}: only a Confidential hides members"


def test_names_say_what_a_thing_is() -> None:
    """A variable or a parameter is called after what it holds; a test reads most."""
    empty = r"(?:found|given|one|shown|_?HERE|_?ONE|_?WHO)"
    bound = re.compile(
        rf"^ *{empty} = |\bfor {empty} in |[(,] ?{empty}: |^ +{empty}: \S+,$",
        re.MULTILINE,
    )
    for path in (ROOT / "broker").rglob("*.py"):
        names = [match[0] for match in bound.finditer(path.read_text("utf-8"))]
        assert not names, f"{path.relative_to(ROOT)}: {names}"


def test_tasks_are_begun_in_one_place() -> None:
    """Else what outlives a request would be counted as its account's, and wait as it."""
    begun = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "broker").rglob("*.py")
        if re.search(r"\b(create_task|ensure_future)\(", path.read_text("utf-8"))
    }
    own_loops = {"broker/agent/http_server.py", "broker/agent/service.py"}
    commands = {"broker/cli/upstream_checks.py", "broker/demo/run.py"}
    groups = {
        "broker/actions/signin/token_watch.py",
        "broker/actions/signin/leavers.py",
    }
    runtime = {"broker/runtime/offload.py", "broker/runtime/shares.py"}
    assert begun == own_loops | commands | groups | runtime
