"""The figures of `docs/evidence.md`, `docs/bounds.md` and `SECURITY.md`.

`evidence.py measure` counts the tests, and runs those of the core to see how much of it
they reach; the other programs of `make long` write what they find by themselves.
`evidence.py write` takes what is new in `artefacts/` over to `docs/evidence.json` and
`docs/real-programs.json`, and writes both into the pages; `evidence.py check` fails if a
page says anything else.
"""

import contextlib
import io
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ARTEFACTS, DATA = ROOT / "artefacts", ROOT / "docs"
PAGES = ("docs/evidence.md", "docs/bounds.md", "SECURITY.md")
CORE = {
    "protocols": "SAML, OpenID Connect, signatures, LDAP, SCIM, X.509: bytes to values",
    "policy": "the policy language and its decisions",
    "proofs": "who is calling: signatures, assertions, tokens, passwords, certificates",
    "permit": "what the caller may do, and how often",
    "sessions": "tokens, keys, revocation",
}
CORE_TESTS = (
    *(f"tests/unit/{name}" for name in CORE),
    *("tests/attacks", "tests/decisions", "tests/properties", "tests/wire"),
    *(
        "tests/conformance/sigv4",
        "tests/conformance/query",
        "tests/conformance/json_api",
    ),
    *("tests/scenarios/test_exchange.py", "tests/scenarios/test_lineage.py"),
)
ORACLES = (
    ("AWS Signature Version 4 Test Suite", "botocore 1.34.100", "canonical requests, strings to sign and signatures", "tests/conformance/sigv4/test_published_vectors.py"),
    ("botocore", "botocore", "every operation: what it writes is read, what the broker writes it reads; its signers", "tests/conformance/query tests/conformance/json_api tests/conformance/sigv4/test_botocore.py"),
    ("botocore's service models", "botocore", "every constraint of every parameter, and every list in pages", "tests/wire/query"),
    ("responses recorded from AWS", "", "IAM's errors, word for word", "tests/unit/actions/iam/test_recorded_errors.py"),
    ("iam-simulate", "@cloud-copilot/iam-simulate", "decisions of policies, over made-up cases", "tests/decisions/test_differential.py"),
    ("python3-saml, xmlsec1", "python3-saml", "a response that the broker accepts, they accept", "tests/attacks/test_saml_differential.py"),
    ("pysaml2", "pysaml2", "responses that it signs and encrypts, metadata", "tests/conformance/test_saml_pysaml2.py tests/conformance/test_saml_published_metadata.py"),
    ("samlp, samlify", "samlify", "their responses, through a running broker", "tests/scenarios/test_saml_signers.py"),
    ("oidc-provider", "oidc-provider", "sign-in, refresh and logout through the pages", "tests/scenarios/test_oidc_signin.py tests/scenarios/test_oidc_logout.py"),
    ("oauth2-mock-server", "oauth2-mock-server", "its tokens, exchanged by the AWS CLI", "tests/scenarios/test_oauth2_mock.py"),
    ("scim2-tester", "scim2-tester", "the SCIM service as a whole", "tests/scenarios/test_scim.py"),
    ("AWS SDK for JavaScript 3", "@aws-sdk/client-sts", "every operation, and its providers of credentials", "tests/scenarios/test_javascript.py"),
    ("AWS CLI 1 and 2", "awscli", "STS, IAM and every way it gets credentials", "tests/scenarios/test_aws_cli.py tests/scenarios/test_iam_cli.py tests/scenarios/test_login.py tests/scenarios/test_portal.py"),
)  # fmt: skip
"""A program or a publication, the package that has its version, what, and the tests."""

_PROXY = "requests signed by an SDK, the AWS CLI and curl; changed, ambiguous and unsigned requests; bodies; revoked sessions; headers that a client must not set; the broker unavailable"
TRIED = {
    "AWS's Roles Anywhere credential helper": "the role of a certificate for the AWS CLI and as an instance's role; the reason for a refused certificate",
    "aws-sso-util": "signing in to the portal, listing roles, getting credentials",
    "Caddy": _PROXY,
    "Envoy": _PROXY,
    "HAProxy": _PROXY,
    "Keycloak": "sign-in with SAML and OpenID Connect, roles by group, token exchange, roles for services, logout in both directions",
    "MinIO": "decisions by the broker's policies, with headers and versions as conditions; the broker unavailable",
    "nginx": "the client's address and scheme, as the proxy reports them",
    "rclone": "requests signed with the credentials of a login",
    "Samba": "groups within groups and in pages, user principal names, wrong passwords, locked and deleted people",
    "SeaweedFS": "a role with SeaweedFS as its upstream: credentials, and what its policies allow there",
    "Terraform": "the resources of the provider; state in a store, with a CI job's token",
    "Traefik": _PROXY,
    "versitygw": "decisions by a role's policy and a session policy, temporary keys, revoked sessions",
}  # fmt: skip
"""What is tried with each program, in sentences; its tests are in `real-programs.json`."""

MUTATIONS = {
    "mutate_proofs": "SAML responses and ID tokens, changed at random",
    "mutate_requests": "signed requests, changed at random",
    "mutate_checks": "checks of a proof, each deleted",
    "mutate_policy": "pieces of the policy engine, each flipped",
    "mutate_conditions": "conditions of the broker, drawn at random and negated",
}


class Counting:
    """Counts what pytest collects, by file; a row of a table counts as a test."""

    def __init__(self) -> None:
        self.tests: Counter[str] = Counter()

    def pytest_collection_finish(self, session: Any) -> None:  # noqa: ANN401  # pytest's
        """After what is too long was left out."""
        for item in session.items:
            rows = getattr(getattr(item, "obj", None), "rows", None)
            path = item.path.relative_to(ROOT).as_posix()
            self.tests[path] += len(rows()) if rows else 1


def count_tests(*options: str) -> Counter[str]:
    """How many tests each file has."""
    import pytest  # noqa: PLC0415  # the rest needs no more than Python

    found = Counting()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", *options, str(ROOT / "tests")], plugins=[found])
    return found.tests


def measure() -> None:
    """Count the tests, and run those of the core with coverage."""
    sys.path.insert(0, str(ROOT))
    from tests.support.evidence import keep  # noqa: PLC0415

    usual, long = count_tests(), count_tests("--long")
    folders = {path.split("/")[1] for path in usual | long}
    keep(
        "tests",
        usual={name: _below(usual, f"tests/{name}/") for name in sorted(folders)},
        long={name: _below(long, f"tests/{name}/") for name in sorted(folders)},
    )
    keep(
        "oracles",
        tests={
            name: sum(_below(usual + long, path) for path in paths.split())
            for name, _, _, paths in ORACLES
        },
        versions={name: _version(package) for name, package, *_ in ORACLES},
    )
    keep("closed", days=dict(_days_of_vulnerabilities()))
    keep("attacks", described=len(_rows("tests/attacks/README.md")))
    report = ARTEFACTS / "core.json"
    sources = [f"--cov=broker/{name}" for name in CORE]
    pytest = [sys.executable, "-m", "pytest", "-q", "-n", "2", *CORE_TESTS]
    options = ["--cov-report=", f"--cov-report=json:{report}"]
    report.unlink(missing_ok=True)
    # Bounds of processor time do not hold under coverage; the check itself is elsewhere.
    subprocess.run([*pytest, *sources, *options], cwd=ROOT, check=False)
    keep("core", **_coverage(json.loads(report.read_text("utf-8"))["files"]))


def _below(counted: Counter[str], path: str) -> int:
    return sum(count for name, count in counted.items() if name.startswith(path))


def _rows(page: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    return re.findall(r"^\| [A-Z]+-\d+ \|", text, re.MULTILINE)


def _version(package: str) -> str:
    """Of a package, by the lock files; what is no package is a version."""
    if package == "awscli":
        official = (ROOT / "tests/node/node_modules/.aws-cli/awscli/v2").glob("2.*")
        return ", ".join((_version("awscli "), *(path.name for path in official)))
    locks = "".join(path.read_text("utf-8") for path in ROOT.glob("requirements*.lock"))
    if found := re.search(
        rf"^{re.escape(package.strip())}==([^\s;]+)", locks, re.MULTILINE
    ):
        return found[1]
    node = json.loads((ROOT / "tests/node/package.json").read_text("utf-8"))
    return str(node["dependencies"].get(package, package))


def _days_of_vulnerabilities() -> Counter[str]:
    text = (ROOT / "SECURITY.md").read_text("utf-8").partition("\n## Fixed\n")[2]
    days: Counter[str] = Counter()
    for line in re.findall(r"^- (.+)$", text, re.MULTILINE):
        log = ["git", "log", "--format=%as", f"-S{line}", "--", "SECURITY.md"]
        told = subprocess.run(log, cwd=ROOT, check=True, capture_output=True, text=True)
        days[(told.stdout.split() or ["not committed"])[-1]] += 1
    return days


def _coverage(files: dict[str, Any]) -> dict[str, dict[str, int]]:
    found = {}
    for name in CORE:
        own = [f for path, f in files.items() if path.startswith(f"broker/{name}/")]
        texts = [path.read_text() for path in (ROOT / "broker" / name).rglob("*.py")]
        sums = [file["summary"] for file in own]
        found[name] = {
            "lines": sum(len(text.splitlines()) for text in texts),
            "modules": len(texts),
            "reached": sum(s["covered_lines"] + s["covered_branches"] for s in sums),
            "of": sum(s["num_statements"] + s["num_branches"] for s in sums),
        }
    return found


def write() -> None:
    """Take what was found over to the documentation."""
    for name in ("evidence.json", "real-programs.json"):
        found = ARTEFACTS / name
        if found.exists():
            place = DATA / name
            known = json.loads(place.read_text("utf-8")) if place.exists() else {}
            new = json.loads(found.read_text("utf-8"))
            known |= {k: v for k, v in new.items() if v.get("result") != "skipped"}
            text = json.dumps(known, indent=2, sort_keys=True, ensure_ascii=False)
            place.write_text(text + "\n", "utf-8")
    for page in PAGES:
        path = ROOT / page
        path.write_text(with_figures(path.read_text("utf-8")), "utf-8")


def check() -> list[str]:
    """The pages whose figures are not those of the files."""
    texts = {page: (ROOT / page).read_text("utf-8") for page in PAGES}
    return [page for page, text in texts.items() if with_figures(text) != text]


def with_figures(text: str) -> str:
    """The page with its tables as the files have them."""
    evidence = json.loads((DATA / "evidence.json").read_text("utf-8"))
    programs = json.loads((DATA / "real-programs.json").read_text("utf-8"))
    tables = {
        "tests": lambda: _tests(evidence["tests"]),
        "oracles": lambda: _oracles(evidence["oracles"]),
        "programs": lambda: _programs(programs),
        "mutations": lambda: _mutations(evidence),
        "attacks": lambda: _attacks(evidence),
        "scale": lambda: _scale(evidence),
        "memory": lambda: _memory(evidence),
        "strangers": lambda: _strangers(evidence),
        "largest": lambda: _largest(evidence),
        "stalls": lambda: _stalls(evidence),
        "core": lambda: _core(evidence["core"]),
    }

    def table(found: re.Match[str]) -> str:
        lines = "\n".join(tables[found[1]]())
        return f"<!-- figures: {found[1]} -->\n\n{lines}\n\n<!-- end -->"

    block = re.compile(r"<!-- figures: (\w+) -->.*?<!-- end -->", re.DOTALL)
    return block.sub(table, text)


def _tests(found: dict[str, Any]) -> Iterator[str]:
    usual, long = found["usual"], found["long"]
    yield f"| Tests on {found['date']} | in `make test` | in `make long` |"
    yield "|---|---|---|"
    for name in usual:
        yield f"| `tests/{name}` | {usual[name]:,} | {long[name] or ''} |"
    yield f"| all | {sum(usual.values()):,} | {sum(long.values()):,} |"


def _oracles(found: dict[str, Any]) -> Iterator[str]:
    yield "| Program or publication | Version | What is compared | Tests |"
    yield "|---|---|---|---|"
    for name, _, what, _ in ORACLES:
        version, tests = found["versions"][name], found["tests"][name]
        yield f"| {name} | {version} | {what} | {tests:,} |"


def _programs(found: dict[str, Any]) -> Iterator[str]:
    yield "| Program | Version | Last run | What was tried |"
    yield "|---|---|---|---|"
    for name, one in sorted(found.items(), key=lambda pair: pair[0].lower()):
        tried = TRIED[name]
        yield f"| {name} | {one['version']} | {one['date']}, {one['result']} | {tried} |"


def _mutations(evidence: dict[str, Any]) -> Iterator[str]:
    yield "| What was changed | Day | Changes | Noticed by a test, or by the broker |"
    yield "|---|---|---|---|"
    for name, what in MUTATIONS.items():
        if not (one := evidence.get(name)):
            continue
        tried = f"{one['tried']:,}"
        if one.get("every", 1) > 1:
            tried += f", one in {one['every']}"
        if "of" in one:
            tried += f" of {one['of']:,}"
        noticed = f"{100 * one.get('killed', 0) / one['tried']:.1f} %"
        if "refused" in one:
            same = one["tried"] - one["refused"]
            noticed = f"{one['refused']:,} refused, {same:,} accepted with their original meaning"
        yield f"| {what} | {one['date']} | {tried} | {noticed} |"


def _attacks(evidence: dict[str, Any]) -> Iterator[str]:
    tests = evidence["tests"]["usual"]["attacks"]
    closed = evidence["closed"]["days"]
    yield f"`tests/attacks` builds {evidence['attacks']['described']} published attacks and"
    yield f"classes of attack in {tests:,} tests. The project's own attacks have found"
    days = ", ".join(
        f"{count} closed on {day}" for day, count in sorted(closed.items())
    )
    yield f"{sum(closed.values())} vulnerabilities so far: {days}."


def _scale(evidence: dict[str, Any]) -> Iterator[str]:
    names = [name for name in sorted(evidence) if name.startswith("scale: ")]
    if not names:
        yield "No run is recorded yet."
    for name in names:
        day, *figures = sorted(evidence[name].items(), key=lambda one: one[0] != "date")
        yield f"- {name.removeprefix('scale: ')}, on {day[1]}:"
        yield from (f"  - {what}: {text}" for what, text in figures)


def _memory(evidence: dict[str, Any]) -> Iterator[str]:
    kept = evidence.get("memory")
    if kept is None:
        yield "No run is recorded yet."
        return
    yield f"| Measured on {kept['date']}, {kept['at_rest']} MB at rest | Times | MB more | MB in caches |"
    yield "|---|---|---|---|"
    for words, times, more, cached in kept["rows"]:
        yield f"| {words} | {times:,} | {max(0, more)} | {cached} |"


def _strangers(evidence: dict[str, Any]) -> Iterator[str]:
    head = "Measured on {} | CPU, ms | kB, small metadata | kB, large"
    yield from _rows_of(evidence.get("strangers"), head)


def _largest(evidence: dict[str, Any]) -> Iterator[str]:
    head = "Measured on {} | Input | Answered | CPU, ms"
    yield from _rows_of(evidence.get("largest"), head)


def _stalls(evidence: dict[str, Any]) -> Iterator[str]:
    head = "Measured on {} | At most | Answered | Longest stall, ms | CPU, ms"
    yield from _rows_of(evidence.get("stalls"), head)


def _rows_of(kept: dict[str, Any] | None, head: str) -> Iterator[str]:
    """What a program measured, as it wrote it; ``head`` has a place for the day."""
    if kept is None:
        yield "No run is recorded yet."
        return
    yield f"| {head.format(kept['date'])} |"
    yield "|" + "---|" * (head.count("|") + 1)
    for row in kept["rows"]:
        yield f"| {' | '.join(map(str, row))} |"


def _core(found: dict[str, Any]) -> Iterator[str]:
    parts = {name: found[name] for name in CORE}
    yield "| Package | What it does | Lines | Modules | Reached by its tests |"
    yield "|---|---|---|---|---|"
    for name, part in parts.items():
        yield _core_row(f"`broker/{name}`", CORE[name], part)
    whole = {key: sum(part[key] for part in parts.values()) for key in parts["policy"]}
    yield _core_row("all", f"measured on {found['date']}", whole)


def _core_row(name: str, what: str, part: dict[str, int]) -> str:
    share = 100 * part["reached"] / part["of"]
    return (
        f"| {name} | {what} | {part['lines']:,} | {part['modules']} | {share:.1f} % |"
    )


def main() -> int:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["measure"]:
            measure()
        case ["write"]:
            write()
        case ["check"]:
            wrong = check()
            sys.stdout.writelines(f"{page}: run evidence.py write\n" for page in wrong)
            return len(wrong)
        case _:
            sys.stderr.write(f"{__doc__}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
