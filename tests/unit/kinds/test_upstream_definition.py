"""What an upstream's definition may say, and which upstream a role has."""

import json

import pytest

from broker.errors import InvalidInput
from broker.kinds.upstream_definition import (
    DEFINITION_CHARACTERS_MAX,
    UpstreamRejected,
    find_upstream_role,
    parse_upstream,
)
from broker.kinds.upstreams import checked_definition
from tests.support.rows import rows

AWS = "arn:aws:iam::999988887777:role"
GOOD = {"Endpoint": "https://sts.example", "Roles": {"ReadOnly": f"{AWS}/Auditor"}}
REVOKER = {"Role": f"{AWS}/ops/Revoke-Revoke"}
UPSTREAMS = {
    name: parse_upstream(json.dumps({**GOOD, "Roles": roles}))
    for name, roles in {
        "all": {"*": f"{AWS}/broker/{{RoleName}}"},
        "one": {"ReadOnly": f"{AWS}/Auditor"},
    }.items()
}


def test_an_upstream_that_names_a_role_comes_before_one_for_all_others() -> None:
    assert find_upstream_role("ReadOnly", UPSTREAMS) == ("one", f"{AWS}/Auditor")
    assert find_upstream_role("Admin", UPSTREAMS) == ("all", f"{AWS}/broker/Admin")
    only = {"one": UPSTREAMS["one"]}
    assert find_upstream_role("Admin", only) is None


@rows(
    ("members", "said"),
    [
        ({"Roles": {"Admin": f"{AWS}/{{RoleName}}"}}, "belongs to the entry \\*"),
        ({"Roles": {"no role": AWS}}, "Roles"),
        ({"Roles": {"r" * 65: AWS + "/x"}}, "Roles"),
        ({"Roles": {"Admin": "Auditor"}}, "Roles"),
        ({"Roles": {}}, "Roles"),
        ({"Roles": {f"r{n}": "arn:aws:iam:::x" for n in range(1001)}}, "Roles"),
        ({"Endpoint": "https://sts.example/a b"}, "Endpoint"),
        ({"Endpoint": "https://user@sts.example/"}, "Endpoint"),
        *(
            ({"Endpoint": f"https://{place}"}, "Endpoint")
            for place in (
                *("[", "[::1", "]", "[]", "[v1.a]", "[1.2.3.4]", "[::1]:x", ":443"),
                *("a:b", "a:0", "a:-1", "a:65536", "1:2:3", "a/?b", "a/#b", "a/\x7f"),
            )
        ),
        ({"SignIn": "https://there/f?a=b", "Console": "https://there/"}, "SignIn"),
        ({"SignIn": "https://there/f", "Console": "https://[there/"}, "Console"),
        ({"Issuer": "https://there:x"}, "Issuer"),
        ({"Revocation": {**REVOKER, "Endpoint": "https://["}}, "Revocation.Endpoint"),
        ({"Region": "eu_west"}, "Region"),
        ({"Method": "SAML"}, "Method"),
        ({"Audience": ""}, "Audience"),
        ({"SignIn": "https://x.example/federation"}, "SignIn needs Console"),
        ({"PassesTags": "yes"}, "PassesTags"),
        ({"Revocation": {"Role": "BrokerRevocation"}}, "Revocation.Role"),
        ({"Revocation": {**REVOKER, "Endpoint": "ftp://x"}}, "Revocation.Endpoint"),
        ({"Revocation": {**REVOKER, "Policy": "{}"}}, "Revocation.Policy"),
        ({"Revocation": {"Role": "arn:aws:iam::111111111111:role/R"}}, "another acc"),
        ({"Revocation": {"Role": f"{AWS}/Auditor"}}, "ReadOnly would give its role"),
        ({"Revocation": {"Role": f"{AWS}/AUDITOR"}}, "ReadOnly would give its role"),
        (
            {"Revocation": REVOKER, "Roles": {"*": f"{AWS}/ops/{{RoleName}}"}},
            "\\* would give its role",
        ),
        (
            {
                "Revocation": REVOKER,
                "Roles": {"*": f"{AWS}/ops/{{RoleName}}-{{RoleName}}"},
            },
            "\\* would give its role",
        ),
        (
            {"Revocation": REVOKER, "Method": "FederationToken"},
            "federation tokens have no role",
        ),
        ({"Audience": "x" * DEFINITION_CHARACTERS_MAX}, "longer than"),
    ],
)
def test_what_a_definition_may_not_say(members: dict[str, object], said: str) -> None:
    with pytest.raises(UpstreamRejected, match=said):
        parse_upstream(json.dumps({**GOOD, **members}))


@rows("url")
def test_where_an_upstream_may_be(url: str) -> None:
    members = {"Endpoint": url, "SignIn": url, "Console": f"{url.rstrip('/')}/?a=b#c"}
    assert parse_upstream(json.dumps({**GOOD, **members})).endpoint == url


def test_a_definition_is_stored_without_what_is_left_to_defaults() -> None:
    members = {**GOOD, "Method": "AssumeRole", "Revocation": {"Role": REVOKER["Role"]}}
    text = json.dumps(members, indent=2)
    assert json.loads(checked_definition("aws", text)) == members


@pytest.mark.parametrize(
    "arn", [f"{AWS}/{{RoleName}}", f"{AWS}/ops/{{RoleName}}-x", f"{AWS}/ops/Revoke"]
)
def test_roles_beside_the_one_that_revokes(arn: str) -> None:
    text = json.dumps({**GOOD, "Roles": {"*": arn}, "Revocation": REVOKER})
    revocation = parse_upstream(text).revocation
    assert revocation is not None
    assert (revocation.endpoint, revocation.region) == (
        "https://iam.amazonaws.com",
        "us-east-1",
    )


@pytest.mark.parametrize("name", ["", "-aws", "a b", "ä", "a" * 65, "aws\n"])
def test_what_an_upstream_may_not_be_called(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be an upstream's name"):
        checked_definition(name, json.dumps(GOOD))
    assert checked_definition("a" * 64, json.dumps(GOOD))
