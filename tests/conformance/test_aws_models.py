"""What AWS's models have: operations and members, against what was looked at last.

A newer botocore that adds any, or takes one away, turns this red, with their names:
sentences of ``docs/deviations.md`` that say what AWS does not have are to be read again.
Then ``python -m tests.conformance.test_aws_models`` writes the list anew. With a folder, such
as that of an unpacked newer botocore, it prints what is different there.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from tests.scenarios.test_operations import OTHERS

SERVICES = ("sts", "iam", *OTHERS)
LIST = Path(__file__).with_suffix(".txt")
_MODEL = "service-2.json"


def lines_of(data: Traversable) -> Iterator[str]:
    """One line an operation, and one a structure with its members."""
    for service in SERVICES:
        for version in sorted(entry.name for entry in (data / service).iterdir()):
            packed = data / service / version / f"{_MODEL}.gz"
            model = json.loads(
                gzip.decompress(packed.read_bytes())
                if packed.is_file()
                else (data / service / version / _MODEL).read_bytes()
            )
            yield f"{service} {version}: {' '.join(sorted(model['operations']))}"
            for name, shape in sorted(model["shapes"].items()):
                if members := sorted(shape.get("members", ())):
                    yield f"{service} {name}: {' '.join(members)}"


def names_of(lines: Iterator[str]) -> set[str]:
    """Each operation and member, after its service and structure."""
    return {
        f"{place}: {name}"
        for place, _, names in (line.partition(": ") for line in lines)
        for name in names.split()
    }


def differences(data: Traversable) -> list[str]:
    """What is in one and not in the other."""
    recorded, newer = (
        names_of(iter(LIST.read_text("utf-8").splitlines())),
        names_of(lines_of(data)),
    )
    return [
        *(f"added: {name}" for name in sorted(newer - recorded)),
        *(f"removed: {name}" for name in sorted(recorded - newer)),
    ]


def test_botocores_models_have_what_was_looked_at() -> None:
    assert differences(files("botocore") / "data") == []


def test_what_a_newer_model_adds_is_named(tmp_path: Path) -> None:
    for service in SERVICES:
        (version,) = (files("botocore") / "data" / service).iterdir()
        packed = (version / f"{_MODEL}.gz").read_bytes()
        model = json.loads(gzip.decompress(packed))
        if service == "sts":
            model["operations"]["AssumeTheMoon"] = {}
            model["shapes"]["Credentials"]["members"]["Colour"] = {}
            del model["shapes"]["Credentials"]["members"]["Expiration"]
        folder = tmp_path / service / version.name
        folder.mkdir(parents=True)
        (folder / _MODEL).write_text(json.dumps(model), "utf-8")
    assert differences(tmp_path) == [
        "added: sts 2011-06-15: AssumeTheMoon",
        "added: sts Credentials: Colour",
        "removed: sts Credentials: Expiration",
    ]


if __name__ == "__main__":
    if sys.argv[1:]:
        print("\n".join(differences(Path(sys.argv[1]) / "botocore" / "data")))  # noqa: T201
    else:
        text = "\n".join(lines_of(files("botocore") / "data"))
        LIST.write_text(f"{text}\n", "utf-8")
