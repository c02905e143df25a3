"""Every action is authorised as the committed table says, and as AWS documents it."""

import asyncio
import contextlib
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.actions.models import load_service_model
from broker.policy import find_context_key
from broker.policy.catalogue import find_action, find_resource_template
from tests.authorization.callers import KINDS, open_installation
from tests.authorization.table import (
    FILE,
    WRITE,
    MadeUpInputRefusedError,
    make_table,
    needs_of,
)
from tests.support.rows import of_file

FREE = {"sts:GetCallerIdentity", "sts:GetSessionToken"}
"""What AWS lets everybody do who has an access key."""

GATHERING = set(of_file(__file__, "GATHERING"))
"""What needs the permissions of the API's actions that it stands for."""

MODELLED = {
    f"{service}:{operation}"
    for service in ("sts", "iam", "broker")
    for operation in load_service_model(service)["operations"]
}
"""The pinned service models have operations that the catalogue does not have yet."""

MODELLED |= {"broker:Authorize", "broker:DeriveSigningKey", "broker:ListScimUsers"}
"""Asked for in JSON; no model describes them."""

# MinIO's operation, which AWS has no model of.
MODELLED.add("sts:AssumeRoleWithLDAPIdentity")


TAKES_TAGS = {
    f"{service}:{operation}"
    for service in ("sts", "iam")
    for operation, shape in (
        (name, match["input"]["shape"])
        for name, match in load_service_model(service)["operations"].items()
        if "input" in match
    )
    if "Tags" in load_service_model(service)["shapes"][shape]["members"]
}


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, dict[str, list[tuple[str, str, frozenset[str]]]]]:
    """The table, and the needs of every action."""

    async def work() -> tuple[str, dict[str, list[tuple[str, str, frozenset[str]]]]]:
        folder: Path = tmp_path_factory.mktemp("table")
        async with open_installation(folder) as services:
            needs = {}
            for action in services.registry:
                with contextlib.suppress(MadeUpInputRefusedError):
                    needs[f"{action.service}:{action.name}"] = [
                        (need.action, need.resource, frozenset(need.context))
                        for need in await needs_of(services, action)
                    ]
            return await make_table(services), needs

    return asyncio.run(work())


def rows(table: str) -> Iterator[tuple[str, str]]:
    """Each action with its marks."""
    _, _, matrix = table.partition("## Who may\n")
    matrix, _, _ = matrix.partition("## Permission")
    for line in matrix.splitlines():
        if match := re.fullmatch(r"(\w+:\w+) +(\S+)", line):
            yield match[1], match[2]


def test_the_committed_table_is_what_the_broker_does(made: tuple[str, object]) -> None:
    table, _ = made
    committed = FILE.read_text(encoding="utf-8")
    if table == committed:
        return
    difference = difflib.unified_diff(
        committed.splitlines(), table.splitlines(), "committed", "now", "", "", 0, ""
    )
    pytest.fail(
        "Who may do what has changed:\n\n"
        + "\n".join(difference)
        + f"\n\nIf every line is meant, write the table anew with\n\n    {WRITE}\n\n"
        "and commit it. If one is not, a permission has changed by accident: look at"
        " what the action declares it needs.",
        pytrace=False,
    )


def test_every_action_takes_the_input_made_up_for_it(made: tuple[str, object]) -> None:
    """When red: give the member a value in ``tests/authorization/inputs.py``."""
    refused = [line for line in made[0].splitlines() if ": refused (" in line]
    assert not refused


def test_no_one_unproved_may_do_anything(made: tuple[str, object]) -> None:
    nobody = [kind.title for kind in KINDS].index("nobody")
    assert {marks[nobody] for _, marks in rows(made[0])} <= {"m", "."}


def test_a_user_without_policies_may_do_only_what_is_free(
    made: tuple[str, object],
) -> None:
    user = [kind.title for kind in KINDS].index("user without policies")
    allowed = {name for name, marks in rows(made[0]) if marks[user] == "A"}
    # Signing in acts on one's own session, never on somebody else's.
    own = ("signin:", "sso:")
    assert {name for name in allowed if not name.startswith(own)} <= FREE


def test_a_deny_of_everything_leaves_only_what_is_free(
    made: tuple[str, object],
) -> None:
    kinds = [kind.title for kind in KINDS]
    denied = kinds.index("administrator with a Deny of iam:* and sts:*")
    allowed = {name for name, marks in rows(made[0]) if marks[denied] == "A"}
    assert {name for name in allowed if name.startswith(("iam:", "sts:"))} <= FREE


def test_every_permission_and_key_is_one_that_aws_documents(
    made: tuple[str, dict[str, list[tuple[str, str, frozenset[str]]]]],
) -> None:
    """Held against the Service Authorization Reference in the catalogue."""
    for name, needs in made[1].items():
        for action, resource, keys in needs:
            entry = find_action(action)
            if entry is None and not action.startswith("signin:"):
                assert action in MODELLED, (
                    f"{name} needs {action}, which does not exist"
                )
            if entry is None:  # the broker's own pages have permissions of their own
                continue
            if entry.resource_types and resource != "*":
                # A session's tags are put on what the operation itself makes.
                assert any(
                    find_resource_template(text, [resource]) for text in (action, name)
                ), f"{name}: {resource} is not a resource of {action}"
            for key in keys:
                assert find_context_key(key) is not None, f"{name}: {key}"
        if needs and name not in GATHERING:
            assert needs[0][0] == name, f"{name} must need its own permission"


def test_iam_actions_bring_the_keys_that_aws_lists_for_them(
    made: tuple[str, dict[str, list[tuple[str, str, frozenset[str]]]]],
) -> None:
    for name, needs in made[1].items():
        if not name.startswith("iam:"):
            continue
        action, _, keys = needs[0]
        entry = find_action(action)
        if entry is None:
            continue
        listed = {_without_tag(key) for key in entry.condition_keys} | {
            _without_tag(key)
            for kind in entry.resource_types
            for key in kind.condition_keys
        }
        brought = {_without_tag(key) for key in keys}
        # The reference lists no tags for what has none when it is made.
        assert brought <= listed | {"aws:resourcetag", "iam:resourcetag"}, name


def test_actions_need_the_permissions_that_aws_makes_them_depend_on(
    made: tuple[str, dict[str, list[tuple[str, str, frozenset[str]]]]],
) -> None:
    for name, needs in made[1].items():
        entry = find_action(name)
        wanted = set(entry.dependent_actions) if entry is not None else set()
        own = {action for action in wanted if action.startswith(("iam:", "sts:"))}
        assert own <= {action for action, _, _ in needs}, name


def test_anyone_who_gives_tags_needs_the_permission_to_tag(
    made: tuple[str, dict[str, list[tuple[str, str, frozenset[str]]]]],
) -> None:
    """Nothing can be made with tags past a Deny of tagging, whatever makes it."""
    assert len(TAKES_TAGS) > 15
    for name in TAKES_TAGS:
        needs = made[1][name]
        tagging = [need for need in needs if need[0].partition(":")[2][:3] == "Tag"]
        assert tagging, f"{name} takes tags and needs no permission to tag"
        for action, resource, keys in tagging:
            assert action in MODELLED or find_action(action) is not None, action
            assert keys >= {"aws:tagkeys", "aws:requesttag/team"}, name
            assert resource == needs[0][1], name


def _without_tag(key: str) -> str:
    return key.lower().partition("/")[0]
