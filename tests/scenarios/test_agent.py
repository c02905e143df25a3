"""The agent of samples/agent: its recipe as written, and what its model may try."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.rows import of_file
from tests.support.walk import Walk, read_steps, walking

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docs" / "recipes" / "agent.md"
SERVERS = {
    "broker serve": "http://127.0.0.1:8080/readyz",
    "uvicorn": "http://127.0.0.1:9000/healthz",
}
_SECONDS = 30


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A newcomer's folder after the recipe's set-up, with Ana's key."""
    folder = tmp_path_factory.mktemp("agent")
    shutil.copytree(ROOT / "samples", folder / "samples")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:8080",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    walk = Walk(folder, environment, servers=SERVERS)
    with walking(walk) as made:
        create, *steps = read_steps(RECIPE, "Set up")
        made.run(f"{create.command} > root.json")
        before = [s for s in steps if s.command.startswith("broker ")]
        made.do(before)
        root = json.loads((folder / "root.json").read_text())
        use(made, root)
        use(made, json.loads(made.run("aws iam create-access-key --user-name ana")))
        made.do([s for s in steps if s not in before])
        yield made


def use(here: Walk, made: dict[str, Any]) -> None:
    key = made.get("AccessKey", made)
    here.run(
        f"export AWS_ACCESS_KEY_ID={key['AccessKeyId']}"
        f" AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}"
    )


def run(here: Walk, *calls: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The session's key, and what goes back to the model."""
    text = "".join(json.dumps(call) + "\n" for call in calls)
    (here.folder / "calls.jsonl").write_text(text)
    printed = here.run(
        "python samples/agent/agent.py --person ana --ticket 7 < calls.jsonl"
    )
    begun, *results = [json.loads(line) for line in printed.splitlines()]
    return begun["session"], results


def call(name: str, **params: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "input": params}


@pytest.fixture(scope="module", autouse=True)
def walked(here: Walk) -> None:
    """The recipe's work is the first, whichever test is: it reads all records."""
    here.do(read_steps(RECIPE, "An agent works"))
    time.sleep(0.5)  # records that nothing waits for are written a little later
    here.do(read_steps(RECIPE, "Afterwards"))


def test_the_recipe(here: Walk) -> None:
    assert "support:RefundOrder" in here.run("broker audit --json")


HOSTILE = of_file(__file__, "HOSTILE")


def test_whatever_the_model_says_stays_within_the_task(here: Walk) -> None:
    _, results = run(here, *HOSTILE.values(), call("read_ticket", ticket="7"))
    for name, result in zip(HOSTILE, results, strict=False):
        assert result["is_error"], name
    assert not results[-1]["is_error"]


def test_the_session_is_short_and_narrow_and_the_persons(here: Walk) -> None:
    key, results = run(here, call("comment_on_ticket", ticket="7", text="hello"))
    assert results[0]["content"]["by"] == "ana"
    time.sleep(0.5)
    listed = here.run(f"broker audit --key {key} --json").splitlines()
    records = {entry["action"]: entry for entry in map(json.loads, listed)}
    minted = records["sts:AssumeRole"]
    assert minted["session"]["source_identity"] == "ana"
    assert minted["caller_arn"].endswith(":user/ana")
    decided = records["support:CommentOnTicket"]
    assert decided["source_identity"] == "ana"
    assert decided["decision"] == "allowed"
    assert decided["reason"]
    assert decided["access_key_id"] == key


@pytest.mark.long
def test_a_session_is_revoked_while_the_agent_works(here: Walk) -> None:
    here.run(
        "mkfifo model && { python samples/agent/agent.py --person ana --ticket 7"
        " < model > results & } && exec 3> model"
    )
    ask = json.dumps(call("read_ticket", ticket="7"))
    answered = 1  # the first line is the session

    def next_result() -> dict[str, Any]:
        nonlocal answered
        here.run(f"echo '{ask}' >&3")
        answered += 1
        deadline = time.monotonic() + _SECONDS
        while True:
            lines = (here.folder / "results").read_text().splitlines()
            if len(lines) >= answered:
                matches: dict[str, Any] = json.loads(lines[answered - 1])
                return matches
            assert time.monotonic() < deadline
            time.sleep(0.02)

    assert not next_result()["is_error"]
    begun = (here.folder / "results").read_text().splitlines()[0]
    key = json.loads(begun)["session"]
    here.run(f"broker sessions revoke {key} --reason 'it went wrong'")
    deadline = time.monotonic() + _SECONDS
    while not next_result()["is_error"]:
        assert time.monotonic() < deadline
    here.run("exec 3>&-; wait %% || :")
    _, results = run(here, call("read_ticket", ticket="7"))
    assert not results[0]["is_error"], "the next task has a session of its own"
