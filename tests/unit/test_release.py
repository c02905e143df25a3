"""A release: one command prepares it, and a tag that does not fit is refused."""

import hashlib
import os
import re
import runpy
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.support.rows import cases

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
release = SimpleNamespace(**runpy.run_path(str(ROOT / ".ci" / "release.py")))

CHANGELOG = """# Changelog

## [Unreleased]

### Changed

- One.

### Added

- Two.

### Changed

- Three,
  on two lines.

### Upgrading

- Four.

## [0.1.0] - 2026-11-27

### Added

- Everything.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "federation-broker"\nversion = "0.1.0"\n'
    )
    manifests = tmp_path / "samples" / "kubernetes" / "broker.yaml"
    manifests.parent.mkdir(parents=True)
    manifests.write_text("image: registry.example.com/federation-broker:0.1.0\n")
    chart = tmp_path / "charts" / "federation-broker" / "Chart.yaml"
    chart.parent.mkdir(parents=True)
    chart.write_text("apiVersion: v2\nversion: 0.1.0\nappVersion: 0.1.0\n")
    return tmp_path


def test_a_release_is_dated_and_sorted(project: Path) -> None:
    release.prepare(project, "0.2.0", "2026-12-01")
    assert (
        (project / "CHANGELOG.md").read_text()
        == """# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Upgrading

- Four.

### Added

- Two.

### Changed

- One.
- Three,
  on two lines.

## [0.1.0] - 2026-11-27

### Added

- Everything.
"""
    )
    assert 'version = "0.2.0"' in (project / "pyproject.toml").read_text()
    manifests = project / "samples" / "kubernetes" / "broker.yaml"
    assert manifests.read_text().endswith("federation-broker:0.2.0\n")
    chart = project / "charts" / "federation-broker" / "Chart.yaml"
    assert chart.read_text() == "apiVersion: v2\nversion: 0.2.0\nappVersion: 0.2.0\n"
    assert release.check(project, "0.2.0").startswith("### Upgrading\n\n- Four.\n")
    assert "Everything" not in release.check(project, "0.2.0")


def test_a_release_candidate_comes_before_its_release(project: Path) -> None:
    release.prepare(project, "0.2.0-rc.1", "2026-12-01")
    changelog = project / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(
        text.replace("[Unreleased]\n", "[Unreleased]\n\n### Fixed\n\n- x\n")
    )
    release.prepare(project, "0.2.0", "2026-12-02")


@cases("version, why")
def test_a_version_that_does_not_come_next_is_refused(
    project: Path, version: str, why: str
) -> None:
    with pytest.raises(release.ReleaseError, match=why):
        release.prepare(project, version, "2026-12-01")
    assert (project / "CHANGELOG.md").read_text() == CHANGELOG


@pytest.mark.parametrize(
    ("unreleased", "why"),
    [("", "nothing under"), ("A word.", "outside"), ("### Stuff\n\n- One", "no known")],
)
def test_a_changelog_that_says_nothing_is_refused(
    project: Path, unreleased: str, why: str
) -> None:
    text = f"## [Unreleased]\n\n{unreleased}\n\n## [0.1.0] - 2026-11-27\n"
    (project / "CHANGELOG.md").write_text(text)
    with pytest.raises(release.ReleaseError, match=why):
        release.prepare(project, "0.2.0", "2026-12-01")


@pytest.mark.parametrize("version", ["0.2.0", "0.1.1"])
def test_a_tag_of_another_version_is_refused(project: Path, version: str) -> None:
    with pytest.raises(release.ReleaseError, match=r"pyproject\.toml says 0\.1\.0"):
        release.check(project, version)


def test_a_version_without_a_dated_section_is_refused(project: Path) -> None:
    (project / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [0.1.0]\n")
    with pytest.raises(release.ReleaseError, match="no dated section"):
        release.check(project, "0.1.0")


def test_this_changelog_can_be_released(project: Path) -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    (project / "CHANGELOG.md").write_text(text, "utf-8")
    if text.partition("## [Unreleased]\n")[2].lstrip().startswith("## ["):
        assert release.check(project, "0.1.0")  # nothing is unreleased
    else:
        release.prepare(project, "999.0.0", "2026-12-01")


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert release.check(ROOT, project["version"])
    for file in release._VERSIONED:
        assert project["version"] in (ROOT / file).read_text("utf-8")


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "one.whl").write_bytes(b"one")
    release.checksums(tmp_path)
    digest = hashlib.sha256(b"one").hexdigest()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  one.whl\n"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", workflow.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_what_runs_packages_of_others_may_write_nothing() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert "id-token" not in jobs["image"]["permissions"]


def program(folder: str, name: str) -> str:
    path = ROOT / folder / "bin" / name
    if not path.exists():
        assert os.environ.get("CI") != "true", f"{name} is missing: .ci/setup long"
        pytest.skip(f"{name} is not installed: .ci/setup long")
    return str(path)


@pytest.mark.long
@cases("command", ids=lambda command: command[0])
def test_workflows_are_sound(command: tuple[str, ...]) -> None:
    name, *words = command
    done = subprocess.run(
        [program(".venv-programs", name), *words, *map(str, WORKFLOWS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_a_release_is_built_offline_and_twice_the_same(tmp_path: Path) -> None:
    """From a clone, as the workflow does it; all packages are there already."""
    program(".venv-release", "cyclonedx-py")
    sums = [build(tmp_path / name) for name in ("first", "second")]
    assert sums[0] == sums[1]
    dist = tmp_path / "first" / "dist"
    (wheel,) = dist.glob("*.whl")
    (archive,) = dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    assert {
        "broker/edges/site/index.html",
        "broker/console/static/console.css",
    } <= names
    assert not {name for name in names if name.startswith(("tests/", "docs/"))}
    with tarfile.open(archive) as packed:
        folder = archive.name.removesuffix(".tar.gz")
        assert f"{folder}/broker/edges/site/index.html" in packed.getnames()
        assert f"{folder}/requirements.lock" in packed.getnames()


def build(clone: Path) -> str:
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    for folder in (".venv-docs", ".venv-release"):
        (clone / folder).symlink_to(ROOT / folder)
    offline = ["unshare", "--net"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*offline, "make", "dist"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (clone / "dist" / "SHA256SUMS").read_text()
