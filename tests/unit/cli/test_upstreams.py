"""``broker upstreams``, and what ``broker doctor`` says of them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from broker.cli import upstream_checks
from broker.cli.upstream_texts import UpstreamFailed
from broker.compose.services import open_services
from broker.errors import InvalidInput, NoSuchEntity
from broker.model.account import AccountId
from broker.settings import load_settings
from broker.stores.directory.kinds import UPSTREAM
from tests.support.upstream import fake_sts, granted, key_id, nameless
from tests.unit.cli.conftest import ACCOUNT, CommandLine

AWS = "arn:aws:iam::999988887777:role"
OF_ACCOUNT = ("--account", ACCOUNT)
ROLE = f"""
Accounts:
  "{ACCOUNT}":
    Roles:
      - RoleName: ReadOnly
        AssumeRolePolicyDocument:
          Version: 2012-10-17
          Statement: {{Effect: Allow, Principal: {{AWS: "{ACCOUNT}"}}, Action: sts:AssumeRole}}
"""


@pytest.fixture
def upstream(
    cli: CommandLine, account: object, applied: Callable[[str], str], tmp_path: Path
) -> Callable[..., None]:
    """Sets an upstream of an account that has the role ReadOnly."""
    assert account
    applied(ROLE)

    def set_it(name: str, *roles: str, **members: object) -> None:
        definition = {
            "Endpoint": "https://127.0.0.1:1",
            "Roles": {role: f"{AWS}/{role}" for role in roles},
            **members,
        }
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(definition))
        cli("upstreams", "set", name, *OF_ACCOUNT, str(file))

    return set_it


def test_a_test_is_for_a_role_of_the_upstream(
    cli: CommandLine, upstream: Callable[..., None]
) -> None:
    upstream("aws", "ReadOnly")
    upstream("ceph", "Other")
    with pytest.raises(NoSuchEntity, match="ceph does not cover the role ReadOnly"):
        cli("upstreams", "test", "ceph", *OF_ACCOUNT, "--role", "ReadOnly")
    with pytest.raises(NoSuchEntity, match="has no role Other"):
        cli("upstreams", "test", "ceph", *OF_ACCOUNT, "--role", "Other")


def test_a_test_says_what_failed_and_what_to_do(
    cli: CommandLine, upstream: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = ("upstreams", "test", "aws", *OF_ACCOUNT, "--role", "ReadOnly")
    with fake_sts() as there:
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", f"127.0.0.1:{there.port}")
        upstream("aws", "ReadOnly", Method="AssumeRole", Endpoint=there.url)
        cli(
            "upstreams",
            "set",
            "aws",
            *OF_ACCOUNT,
            "--access-key-id",
            "AKIA",
            stdin="s\n",
        )
        told = json.loads(cli(*tries))
        assert told["AccessKeyId"] == key_id(1)
        assert (told["NamesSessions"], told.get("Write")) == (True, None)
        there.status, there.minutes_ahead = 403, 10
        there.body = (
            b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code>"
            b"<Message>no such key</Message></Error></ErrorResponse>"
        )
        with pytest.raises(UpstreamFailed) as refused:
            cli(*tries)
    first, second, third = refused.value.lines
    assert first == "The upstream aws refused: InvalidClientTokenId."
    assert second.startswith("There: InvalidClientTokenId: no such key (its clock")
    assert third == "To do: Give the upstream a key pair that is active there."
    with pytest.raises(UpstreamFailed) as away:
        cli(*tries)
    (line,) = away.value.lines
    assert line.startswith("The upstream aws cannot be reached: ")


def test_a_test_finds_out_whether_sessions_are_named(
    cli: CommandLine, upstream: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = ("upstreams", "test", "aws", *OF_ACCOUNT, "--role", "ReadOnly")
    pair = ("upstreams", "set", "aws", *OF_ACCOUNT, "--access-key-id", "AKIA")
    with fake_sts() as there:
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", f"127.0.0.1:{there.port}")
        for names_it in (False, True):
            there.body = granted() if names_it else nameless()
            for is_set in (False, True):
                upstream(
                    "aws",
                    "ReadOnly",
                    Method="AssumeRole",
                    Endpoint=there.url,
                    NamesSessions=is_set,
                )
                cli(*pair, stdin="s\n")
                told = json.loads(cli(*tries))
                assert told["NamesSessions"] is names_it
                write = None if names_it is is_set else {"NamesSessions": names_it}
                assert told.get("Write") == write


def test_a_key_pair_is_given_and_taken_away(
    cli: CommandLine, upstream: Callable[..., None]
) -> None:
    upstream("aws", "ReadOnly", Method="AssumeRole")
    values = ("upstreams", "set", "aws", *OF_ACCOUNT, "--access-key-id", "AKIATHERE")
    cli(*values, stdin="\n", fails=True)
    assert "on standard input" in cli.stderr
    cli(*values, stdin="secret-of-the-pair\n")
    listed = cli("upstreams", "list", "--json")
    assert json.loads(listed)["AccessKeyId"] == "AKIATHERE"
    assert "secret-of-the-pair" not in listed
    cli("upstreams", "set", "aws", *OF_ACCOUNT, "--no-key")
    assert cli.json("upstreams", "list", "--json")["AccessKeyId"] == ""
    (taken, put) = cli.audit("broker:PutUpstreamKeyPair")
    assert "secret-of-the-pair" not in str([taken, put])


@pytest.mark.parametrize("key_id", ["AKIA…", "AK\r\nX: y", "a b", "A" * 129])
def test_what_is_not_an_access_key_id(
    cli: CommandLine, upstream: Callable[..., None], key_id: str
) -> None:
    upstream("aws", "ReadOnly", Method="AssumeRole")
    with pytest.raises(InvalidInput, match="is not an access key ID"):
        cli(
            "upstreams",
            "set",
            "aws",
            *OF_ACCOUNT,
            "--access-key-id",
            key_id,
            stdin="s\n",
        )
    assert cli.json("upstreams", "list", "--json")["AccessKeyId"] == ""


def test_a_revocation_names_each_role_of_the_upstreams(
    cli: CommandLine, upstream: Callable[..., None]
) -> None:
    """Those that are here by a wildcard, and named ones that were deleted here."""
    roles = {"*": f"{AWS}/broker/{{RoleName}}", "Gone": f"{AWS}/Gone"}
    upstream("aws", Method="AssumeRole", Roles=roles)
    said = cli("sessions", "revoke", ACCOUNT).splitlines()
    assert [line for line in said if line.endswith("(aws)")] == [
        f"  {AWS}/Gone (aws)",
        f"  {AWS}/broker/ReadOnly (aws)",
    ]
    said = cli("sessions", "revoke", f"arn:aws:iam::{ACCOUNT}:role/ReadOnly").split()
    assert f"{AWS}/Gone" not in said


def test_a_definition_that_cannot_be_read_is_named(
    cli: CommandLine, upstream: Callable[..., None]
) -> None:
    """A newer broker stored it; the others are shown and set, and it is set again."""
    upstream("aws", "ReadOnly", Method="AssumeRole")
    upstream("newer", "Other", Method="AssumeRole")

    async def store() -> None:
        async with (
            open_services(load_settings()) as services,
            services.stores.directory.change(AccountId(ACCOUNT)) as change,
        ):
            stored_upstream = await change.find(UPSTREAM, AccountId(ACCOUNT), "newer")
            assert stored_upstream is not None
            await change.put(
                UPSTREAM, replace(stored_upstream, definition='{"New": 1}')
            )

    asyncio.run(store())
    said = cli("upstreams", "list")
    assert "cannot be read: Endpoint" in said
    assert "https://127.0.0.1:1" in said
    assert [
        entry["UpstreamName"] for entry in cli.lines("upstreams", "list", "--json")
    ] == ["aws", "newer"]
    assert f"newer of {ACCOUNT} cannot be read" in cli("doctor", fails=True)
    said = cli("sessions", "revoke", ACCOUNT)
    assert f"\n  {AWS}/ReadOnly (aws)\n" in said
    assert "\n  its roles, in a definition that cannot be read (newer)\n" in said
    with pytest.raises(UpstreamFailed) as failed:
        cli("sessions", "revoke", ACCOUNT, "--upstream")
    assert "The upstream newer cannot be read." in "\n".join(failed.value.lines)
    assert cli("export", ACCOUNT).count("UpstreamName") == 2
    upstream("aws", "ReadOnly", Method="AssumeRole", Region="eu-west-1")
    upstream("newer", "Other", Method="AssumeRole")
    assert "cannot be read" not in cli("upstreams", "list")


def test_one_thing_is_set_at_a_time(
    cli: CommandLine, upstream: Callable[..., None]
) -> None:
    upstream("aws", "ReadOnly")
    for options in ((), ("--delete", "--no-key")):
        cli("upstreams", "set", "aws", *OF_ACCOUNT, *options, fails=True)
        assert "pass one of" in cli.stderr
    assert cli.lines("upstreams", "list", "--json")
    cli("upstreams", "delete", "aws", *OF_ACCOUNT)
    assert not cli.lines("upstreams", "list", "--json")


def test_doctor_asks_each_address(
    cli: CommandLine, upstream: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {
        "SignIn": "https://10.0.0.1/",
        "Console": "https://10.0.0.1/",
        "Revocation": {"Role": f"{AWS}/Revoke", "Endpoint": "https://10.0.0.2/"},
    }
    with fake_sts() as there:
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", f"127.0.0.1:{there.port}")
        upstream("aws", "ReadOnly", Method="AssumeRole", Endpoint=there.url)
        assert "does not answer" not in cli("doctor")
        there.minutes_ahead = -10
        said = cli("doctor", fails=True)
        assert f"aws of {ACCOUNT}: the clocks of {there.url} and of" in said
        upstream("aws", "ReadOnly", Method="AssumeRole", Endpoint=there.url, **more)
        said = cli("doctor", fails=True)
        assert "https://10.0.0.1/ does not answer: 10.0.0.1 is 10.0.0.1, which" in said
        assert "https://10.0.0.2/ does not answer" in said
    said = cli("doctor", fails=True)
    assert f"aws of {ACCOUNT}: {there.url} does not answer" in said


def test_doctor_does_not_wait_for_what_hangs(
    cli: CommandLine, upstream: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream_checks, "_ALL_SECONDS", 0.2)
    with fake_sts() as there:
        there.hold()
        monkeypatch.setenv("BROKER_INTERNAL_ISSUERS", f"127.0.0.1:{there.port}")
        upstream("aws", "ReadOnly", Method="AssumeRole", Endpoint=there.url)
        assert "no answer within 0.2 s from 1" in cli("doctor")


def test_doctor_says_which_cannot_mint(
    cli: CommandLine, upstream: Callable[..., None]
) -> None:
    upstream("aws", "ReadOnly", "Missing")
    upstream("keys", "*", Method="AssumeRole")
    upstream("typed", "READONLY", Method="AssumeRole")
    said = cli("doctor", fails=True)
    assert "3 set" in said
    assert f"aws of {ACCOUNT} needs tokens of the account" in said
    assert "the role Missing, which does not exist" in said
    assert "the role READONLY, which is spelled ReadOnly" in said
    assert f"keys of {ACCOUNT} needs" not in said
    assert f"keys of {ACCOUNT} is for" not in said
