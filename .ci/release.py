"""Releases: `release.py prepare VERSION` dates the changelog and sets the version.

`release.py check VERSION` fails unless both say so, and prints the release's notes;
`release.py checksums FOLDER` writes SHA256SUMS there. Runs on a bare Python 3.11.
"""

import hashlib
import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECTIONS = (
    "Highlights",
    "Security",
    "Upgrading",
    "Added",
    "Changed",
    "Deprecated",
    "Removed",
    "Fixed",
)
"""In this order; most are those of https://keepachangelog.com/en/1.1.0/."""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-(?:alpha|beta|rc)\.\d+)?")
_UNRELEASED = "## [Unreleased]\n"
_VERSIONED = (
    "samples/kubernetes/broker.yaml",
    "charts/federation-broker/Chart.yaml",
)
_NAMED = re.compile(
    r"(/federation-broker:|^version: |^appVersion: )[\w.-]+", re.MULTILINE
)


class ReleaseError(Exception):
    """What keeps a version from being released."""


def prepare(root: Path, version: str, date: str) -> None:
    """Move what is unreleased to a section of its own, and set the version everywhere."""
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{version!r} is not a version such as 0.2.0 or 0.2.0-rc.1")
    project = root / "pyproject.toml"
    text = project.read_text("utf-8")
    now = tomllib.loads(text)["project"]["version"]
    if _numbers(version) <= _numbers(now):
        raise ReleaseError(f"{version} does not come after {now}")
    changelog = root / "CHANGELOG.md"
    before, body, after = _unreleased(changelog.read_text("utf-8"))
    dated = f"{_UNRELEASED}\n## [{version}] - {date}\n\n{_in_order(body)}\n"
    changelog.write_text(before + dated + after, "utf-8")
    project.write_text(
        text.replace(f'\nversion = "{now}"\n', f'\nversion = "{version}"\n', 1), "utf-8"
    )
    for file in _VERSIONED:
        text = (root / file).read_text("utf-8")
        (root / file).write_text(_NAMED.sub(rf"\g<1>{version}", text), "utf-8")


def check(root: Path, version: str) -> str:
    """The release's notes, if the project is at this version."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    now = project["project"]["version"]
    if now != version:
        raise ReleaseError(f"the tag says {version}, pyproject.toml says {now}")
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    heading = re.compile(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## \[|\Z)",
        re.MULTILINE | re.DOTALL,
    )
    found = heading.search(changelog)
    if found is None:
        raise ReleaseError(f"CHANGELOG.md has no dated section for {version}")
    return found[1].strip() + "\n"


def checksums(folder: Path) -> None:
    """SHA-256 of every file in a folder, for ``sha256sum --check``."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = (f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)
    (folder / "SHA256SUMS").write_text("".join(lines), "utf-8")


def _numbers(version: str) -> tuple[int, ...]:
    """For comparing: a pre-release comes before its version."""
    numbers, _, label = version.partition("-")
    rank = ("alpha", "beta", "rc", "").index(label.partition(".")[0])
    return (*map(int, numbers.split(".")), rank, int(label.partition(".")[2] or 0))


def _unreleased(changelog: str) -> tuple[str, str, str]:
    before, heading, rest = changelog.partition(_UNRELEASED)
    body, mark, after = rest.partition("\n## [")
    if not heading or not body.strip():
        raise ReleaseError("CHANGELOG.md has nothing under [Unreleased]")
    return before, body.strip("\n"), mark.lstrip("\n") + after


def _in_order(body: str) -> str:
    """One section of each kind: many hands may have added theirs."""
    parts = re.split(r"^### (.+)$", f"\n{body}", flags=re.MULTILINE)
    if parts[0].strip():
        raise ReleaseError(f"CHANGELOG.md has text outside of a section: {parts[0]!r}")
    texts: dict[str, list[str]] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        texts.setdefault(name.strip(), []).append(text.strip("\n"))
    if unknown := set(texts) - set(SECTIONS):
        raise ReleaseError(f"CHANGELOG.md has sections of no known kind: {unknown}")
    return "\n".join(
        f"### {name}\n\n" + "\n".join(texts[name]) + "\n"
        for name in SECTIONS
        if name in texts
    )


def main(words: list[str]) -> str:
    """Do what the words say; what to print."""
    match words:
        case ["prepare", version]:
            prepare(ROOT, version, datetime.now(UTC).date().isoformat())
            return (
                f"CHANGELOG.md, pyproject.toml, chart and manifests are at {version}. Next:\n"
                f'  git commit -am "release: {version}"\n'
                f"  git tag -s v{version} -m {version}\n"
                f"  git push origin main v{version}\n"
            )
        case ["check", version]:
            return check(ROOT, version)
        case ["checksums", folder]:
            checksums(Path(folder))
            return ""
        case _:
            raise ReleaseError(__doc__ or "")


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]))
    except ReleaseError as error:
        sys.exit(str(error))
