"""AWS's own programs for policies, unmodified, with nothing but an address of ours.

``tf-policy-validator`` comes with examples and with what AWS answered: those answers are
compared whole, but for what our reasons say after AWS's sentence.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.test_protected import PROGRAMS
from tests.scenarios.test_recipes import RECIPES, STS, path_with
from tests.support.broker import Key, RunningBroker
from tests.support.programs import program
from tests.support.rows import of_file
from tests.support.walk import Walk, read_steps, walking

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

EXAMPLES: dict[str, dict[str, Any]] = of_file(__file__, "EXAMPLES")
"""Commands of `tests.test_accessAnalyzer` of the package, and what AWS answered."""

_OURS = re.compile(r" (?:For example|Not decided): .*", re.DOTALL)


@pytest.fixture
def environment(broker: RunningBroker, root: Key, tmp_path: Path) -> dict[str, str]:
    for name in ("tf-policy-validator", "cfn-policy-validator"):
        if not (PROGRAMS / name).exists():
            pytest.skip(f"{name} is not installed: .ci/setup long")
    return {
        "PATH": path_with(tmp_path, {}) + f":{PROGRAMS}",
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": broker.url,
        "AWS_ACCESS_KEY_ID": root.access_key_id,
        "AWS_SECRET_ACCESS_KEY": root.secret_access_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def findings(report: dict[str, list[Any]]) -> Iterator[str]:
    for kind, entries in report.items():
        for entry in entries:
            details = entry["details"]
            for reason in details.get("reasons", ()):
                reason["description"] = _OURS.sub("", reason["description"])
            yield json.dumps([kind, entry], sort_keys=True)


@program("tf-policy-validator", "tf-policy-validator")
@pytest.mark.parametrize("name", EXAMPLES)
def test_terraforms_validator_passes_its_own_examples(
    name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    example = EXAMPLES[name]
    (package,) = (PROGRAMS.parent / "lib").glob("*/site-packages/iam_check")
    shutil.copytree(package / "test", tmp_path / "test")
    words = [
        *("tf-policy-validator", *example["command"].split()),
        *("--config", str(package / "config" / "default.yaml")),
        *("--region", "us-west-2"),
    ]
    done = subprocess.run(
        words,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    answers = sorted(findings(json.loads(done.stdout)))
    recorded = json.loads((tmp_path / "test" / example["recorded"]).read_text())
    expected = sorted(findings(recorded))
    more = [answer for answer in answers if answer not in expected]
    assert [a for a in expected if a not in answers] == []
    assert [json.loads(a)[1]["message"] for a in more] == example.get("more", [])
    assert done.returncode == (2 if expected else 0), done.stderr


@program("cfn-policy-validator", "cfn-policy-validator")
def test_the_page_with_cloudformations_validator(
    broker: RunningBroker, environment: dict[str, str], tmp_path: Path
) -> None:
    walk = Walk(tmp_path, environment, instead={STS: broker.url})
    with walking(walk, shares_network=True) as here:
        here.do(read_steps(RECIPES / "policy-validators.md"))
        validate = "cfn-policy-validator validate --template-path template.yaml"
        printed = here.run(f"{validate} --region us-east-1 2>&1 || echo code $?")
    assert "The operation ListAnalyzers is not supported." in printed
    assert printed.strip().endswith("code 1")
