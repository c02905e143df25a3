"""Which permission each call needs, on what, with which condition keys."""

import pytest
from policy_sentry.shared.iam_data import get_service_prefix_data

from broker.actions.models import load_service_model
from tests.support.iam import ACCOUNT, Iam, policy, trust
from tests.support.rows import cases, of_file
from tests.support.saml_idp import metadata_xml

BASE = f"arn:aws:iam::{ACCOUNT}"
BOUNDARY = f"{BASE}:policy/P"
TAG = ("v",)


@pytest.fixture
async def set_up(iam: Iam) -> Iam:
    tags = [{"Key": "Team", "Value": "v"}]
    await iam("CreatePolicy", PolicyName="P", PolicyDocument=policy(), Tags=tags)
    await iam(
        "CreateRole",
        RoleName="R",
        Path="/p/",
        AssumeRolePolicyDocument=trust(),
        Tags=tags,
        PermissionsBoundary=BOUNDARY,
    )
    await iam("CreateUser", UserName="U", Path="/p/", Tags=tags)
    await iam(
        "CreateSAMLProvider", Name="S", SAMLMetadataDocument=metadata_xml(), Tags=tags
    )
    await iam("CreateOpenIDConnectProvider", Url="https://i.example/x", Tags=tags)
    return iam


CASES = of_file(__file__, "CASES")


# Source: denials of the real service, as many users have posted them.
SHOWN = of_file(__file__, "SHOWN")


@pytest.mark.parametrize(("name", "given", "shown"), SHOWN)
async def test_a_refusal_names_things_as_the_request_does(
    set_up: Iam, name: str, given: dict[str, str], shown: str | None
) -> None:
    assert (await set_up.need(name, **given)).shown == shown


async def test_a_refused_rename_names_both(set_up: Iam) -> None:
    old, new = await set_up.needs("UpdateUser", UserName="u", NewUserName="N")
    assert (old.shown, new.shown) == ("user u", None)
    assert new.resource == f"{BASE}:user/p/N"


@pytest.mark.parametrize(("name", "given", "resource"), CASES)
async def test_a_call_is_about_the_entitys_own_arn(
    set_up: Iam, name: str, given: dict[str, str], resource: str
) -> None:
    need = await set_up.need(name, **given)
    assert need.action == f"iam:{name}"
    assert need.resource == resource
    assert need.account == ACCOUNT


async def test_users_and_roles_bring_their_tags_under_both_prefixes(
    set_up: Iam,
) -> None:
    for name, params in (
        ("ListRoleTags", {"RoleName": "R"}),
        ("GetUser", {"UserName": "U"}),
    ):
        need = await set_up.need(name, **params)
        assert need.context == {
            "aws:resourcetag/team": TAG,
            "iam:resourcetag/team": TAG,
        }


@cases("name, given")
async def test_others_bring_their_tags(
    set_up: Iam, name: str, given: dict[str, str]
) -> None:
    need = await set_up.need(name, **given)
    assert need.context == {"aws:resourcetag/team": TAG}


async def test_the_boundary_asked_for_and_the_boundary_held_are_keys(
    set_up: Iam,
) -> None:
    key = "iam:permissionsboundary"
    other = f"{BASE}:policy/Other"
    held = await set_up.need("AttachRolePolicy", RoleName="R", PolicyArn=other)
    assert held.context[key] == (BOUNDARY,)
    assert held.context["iam:policyarn"] == (other,)
    for name in ("PutRolePermissionsBoundary", "CreateRole"):
        asked = await set_up.need(name, RoleName="R", PermissionsBoundary=other)
        assert asked.context[key] == (other,)
    free = await set_up.need(
        "PutUserPolicy", UserName="U", PolicyName="P", PolicyDocument=policy()
    )
    assert key not in free.context


async def test_what_is_made_with_tags_needs_the_permission_to_tag(set_up: Iam) -> None:
    tags = [{"Key": "Cost", "Value": "7"}]
    made, tagged = await set_up.needs(
        "CreateUser", UserName="N", Tags=tags, PermissionsBoundary=BOUNDARY
    )
    assert made.context.keys() > tagged.context.keys()
    assert (tagged.action, tagged.resource) == ("iam:TagUser", f"{BASE}:user/N")
    assert tagged.context == {"aws:requesttag/cost": ("7",), "aws:tagkeys": ("Cost",)}
    (bare,) = await set_up.needs("CreateUser", UserName="N")
    assert bare.action == "iam:CreateUser"


async def test_tags_of_the_request_are_keys(set_up: Iam) -> None:
    tags = [{"Key": "Cost", "Value": "7"}, {"Key": "b", "Value": ""}]
    need = await set_up.need("TagUser", UserName="absent", Tags=tags)
    assert need.context == {
        "aws:requesttag/cost": ("7",),
        "aws:requesttag/b": ("",),
        "aws:tagkeys": ("Cost", "b"),
    }
    need = await set_up.need("UntagUser", UserName="absent", TagKeys=["Cost"])
    assert need.context == {"aws:tagkeys": ("Cost",)}
    assert (await set_up.need("CreateUser", UserName="N", Tags=[])).context == {}


_NEWER_THAN_THE_REFERENCE = {
    "AcquireRole",
    "GetAccountProperties",
    "GetRoleTemplateVersion",
    "PutAccountProperties",
    "UpdateDelegationRequest",
    "UpdateOpenIDConnectProvider",
}
"""Operations of the model that the reference's data does not have yet."""


_OF_SECURITY_KEYS = {
    "iam:FIDO-FIPS-140-2-certification",
    "iam:FIDO-FIPS-140-3-certification",
    "iam:FIDO-certification",
    "iam:RegisterSecurityKey",
}
"""Keys of devices that are registered in the console only, not by the API."""


def _takes_tags(operation: str) -> bool:
    model = load_service_model("iam")
    shape = model["operations"].get(operation, {}).get("input", {}).get("shape")
    return shape is not None and "Tags" in model["shapes"][shape]["members"]


def test_permissions_and_keys_are_those_of_the_service_authorization_reference(
    iam: Iam,
) -> None:
    """Every action exists there, and brings the condition keys listed for it."""
    reference = get_service_prefix_data("iam")["privileges"]
    assert iam.actions.keys() - reference.keys() <= _NEWER_THAN_THE_REFERENCE
    for name in iam.actions.keys() & reference.keys():
        action = iam.actions[name]
        listed = {
            key.lower().partition("$")[0]
            for kind in reference[name]["resource_types"].values()
            for key in kind["condition_keys"]
            if key not in _OF_SECURITY_KEYS
        }
        code = action.needs.__closure__
        keys = {
            "tag_keys": {"aws:tagkeys"},
            "policy_arn": {"iam:policyarn"},
            "boundary_asked": {"iam:permissionsboundary"},
            "boundary_held": {"iam:permissionsboundary"},
            "organizations_policy": {"iam:organizationspolicyid"},
            "delegation_asked": {
                "iam:delegationduration",
                "iam:notificationchannel",
                "iam:templatearn",
            },
            "delegation_owner": {"iam:delegationrequestowner"},
            "linked_service": {"iam:awsservicename"},
            "service_asked": {
                "iam:servicespecificcredentialservicename",
                "iam:servicespecificcredentialagedays",
            },
            "service_held": {"iam:servicespecificcredentialservicename"},
        }
        # Tags bring theirs with every action that takes any.
        declared = (
            {"aws:tagkeys", "aws:requesttag/"} if _takes_tags(name) else set[str]()
        )
        for cell in code or ():
            if isinstance(cell.cell_contents, tuple):
                for key in cell.cell_contents:
                    declared |= keys[key.__name__]
        assert declared == listed, name


def test_secrets_are_not_shown_in_the_audit_record(iam: Iam) -> None:
    for action in iam.actions.values():
        assert not {"AddPrivateKey", "Password", "SAMLMetadataDocument"} & set(
            action.audited
        )


@cases("given, renamed")
async def test_a_rename_needs_the_permission_for_both_names(
    set_up: Iam, given: dict[str, str], renamed: str
) -> None:
    needs = await set_up.needs("UpdateUser", UserName="U", **given)
    assert [need.resource for need in needs] == [f"{BASE}:user/p/U", renamed]
    assert (await set_up.need("UpdateUser", UserName="U")).resource == (
        f"{BASE}:user/p/U"
    )
