"""Tags at the making of an entity are subject to the permission to tag it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.policies import policy, statement, trust
from tests.support.refusals import refused
from tests.support.saml_idp import metadata_xml

RED = [{"Key": "Team", "Value": "red"}]
MAKING: dict[str, tuple[str, Callable[[Any, str, dict[str, Any]], Any]]] = {
    "TagUser": (
        "user/{}",
        lambda iam, name, tags: iam.create_user(UserName=name, **tags),
    ),
    "TagRole": (
        "role/{}",
        lambda iam, name, tags: iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=trust(ACCOUNT), **tags
        ),
    ),
    "TagPolicy": (
        "policy {}",
        lambda iam, name, tags: iam.create_policy(
            PolicyName=name, PolicyDocument=policy(statement("s3:*")), **tags
        ),
    ),
    "TagInstanceProfile": (
        "instance-profile/{}",
        lambda iam, name, tags: iam.create_instance_profile(
            InstanceProfileName=name, **tags
        ),
    ),
    "TagMFADevice": (
        "mfa/{}",
        lambda iam, name, tags: iam.create_virtual_mfa_device(
            VirtualMFADeviceName=name, **tags
        ),
    ),
    "TagOpenIDConnectProvider": (
        "oidc-provider/{}.example",
        lambda iam, name, tags: iam.create_open_id_connect_provider(
            Url=f"https://{name}.example", ClientIDList=["c"], **tags
        ),
    ),
    "TagSAMLProvider": (
        "saml-provider/{}",
        lambda iam, name, tags: iam.create_saml_provider(
            Name=name, SAMLMetadataDocument=metadata_xml(), **tags
        ),
    ),
}


@pytest.fixture(scope="module")
def as_user(broker: RunningBroker, iam: Any) -> Callable[..., Any]:
    """A client of a new user with a policy of these statements."""

    def make(name: str, *statements: dict[str, Any]) -> Any:
        iam.create_user(UserName=name)
        iam.put_user_policy(
            UserName=name, PolicyName="P", PolicyDocument=policy(*statements)
        )
        key = Key.of(iam.create_access_key(UserName=name)["AccessKey"])
        return broker.client("iam", key)

    return make


@pytest.mark.parametrize("permission", MAKING)
def test_who_may_make_but_not_tag_makes_without_tags_only(
    as_user: Callable[..., Any], permission: str
) -> None:
    text, make = MAKING[permission]
    name = permission.lower()
    maker = as_user(f"maker-{name}", statement("iam:Create*"))
    results = refused(make, maker, name, {"Tags": RED})
    resource = text.format(name)
    if ":" not in resource and " " not in resource:
        resource = f"arn:aws:iam::{ACCOUNT}:{resource}"
    assert results.code == "AccessDenied"
    assert results.message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/maker-{name} is not authorized to perform:"
        f" iam:{permission} on resource: {resource} because no identity-based policy"
        f" allows the iam:{permission} action"
    )
    make(maker, name, {})


def test_a_deny_of_tagging_holds_at_the_making(as_user: Callable[..., Any]) -> None:
    denied = as_user("denied", statement("iam:*"), statement("iam:Tag*", Effect="Deny"))
    results = refused(denied.create_user, UserName="never", Tags=RED)
    assert results.message.endswith("with an explicit deny in an identity-based policy")
    assert refused(denied.get_user, UserName="never").code == "NoSuchEntity"


def test_conditions_on_the_tags_count_at_the_making(
    as_user: Callable[..., Any],
) -> None:
    only_red = {
        "StringEquals": {"aws:RequestTag/Team": "red"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]},
    }
    tagger = as_user(
        "tagger",
        statement("iam:CreateRole"),
        statement("iam:TagRole", Condition=only_red),
    )

    def make(name: str, *tags: dict[str, str]) -> Any:
        return tagger.create_role(
            RoleName=name, AssumeRolePolicyDocument=trust(ACCOUNT), Tags=tags
        )

    blue, more = {"Key": "Team", "Value": "blue"}, {"Key": "More", "Value": ""}
    assert refused(make, "r", blue).code == "AccessDenied"
    assert refused(make, "r", *RED, more).code == "AccessDenied"
    assert make("r", *RED)["Role"]["Tags"] == RED


def test_tags_that_differ_in_case_do_not_hide_each_other(
    as_user: Callable[..., Any],
) -> None:
    """A policy may have both tags; a Deny of one value sees it wherever it stands."""
    blue = {"StringEquals": {"aws:RequestTag/Team": "blue"}}
    maker = as_user(
        "two-cases",
        statement("iam:*"),
        statement("iam:*", Effect="Deny", Condition=blue),
    )
    tags = [{"Key": "team", "Value": "blue"}, *RED]
    for entry in (tags, tags[::-1]):
        results = refused(
            maker.create_policy,
            PolicyName="both",
            PolicyDocument=policy(statement("s3:*")),
            Tags=entry,
        )
        assert results.code == "AccessDenied"
