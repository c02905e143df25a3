"""Tags of all taggable entities."""

import pytest

from broker.actions.iam.tags import TAGS
from broker.errors import InvalidInput
from tests.support.certificates import server_certificate
from tests.support.iam import Iam, policy, trust
from tests.support.saml_idp import metadata_xml

NOUNS = [one.name[3:] for one in TAGS if one.name.startswith("Tag")]


def pairs(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@pytest.fixture
async def names(iam: Iam) -> dict[str, dict[str, str]]:
    """How each kind of entity is named in a request."""
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
    await iam("CreateUser", UserName="U")
    made = await iam("CreatePolicy", PolicyName="P", PolicyDocument=policy())
    saml = await iam(
        "CreateSAMLProvider", Name="S", SAMLMetadataDocument=metadata_xml()
    )
    oidc = await iam("CreateOpenIDConnectProvider", Url="https://idp.example.com")
    await iam("CreateInstanceProfile", InstanceProfileName="I")
    device = await iam("CreateVirtualMFADevice", VirtualMFADeviceName="M")
    body, key = server_certificate()
    await iam(
        "UploadServerCertificate",
        ServerCertificateName="T",
        CertificateBody=body,
        PrivateKey=key,
    )
    return {
        "InstanceProfile": {"InstanceProfileName": "I"},
        "MFADevice": {"SerialNumber": device["VirtualMFADevice"]["SerialNumber"]},
        "ServerCertificate": {"ServerCertificateName": "T"},
        "Role": {"RoleName": "R"},
        "User": {"UserName": "U"},
        "Policy": {"PolicyArn": made["Policy"]["Arn"]},
        "SAMLProvider": {"SAMLProviderArn": saml["SAMLProviderArn"]},
        "OpenIDConnectProvider": oidc,
    }


@pytest.mark.parametrize("noun", NOUNS)
async def test_tags_are_added_overwritten_listed_and_removed(
    iam: Iam, names: dict[str, dict[str, str]], noun: str
) -> None:
    named = names[noun]
    await iam(f"Tag{noun}", Tags=pairs(b="1", a="2"), **named)
    await iam(f"Tag{noun}", Tags=pairs(b="", C="3"), **named)
    listed = await iam(f"List{noun}Tags", **named)
    assert listed["Tags"] == pairs(C="3", a="2", b="")
    first = await iam(f"List{noun}Tags", MaxItems=1, **named)
    rest = await iam(f"List{noun}Tags", Marker=first["Marker"], **named)
    assert first["Tags"] + rest["Tags"] == listed["Tags"]
    await iam(f"Untag{noun}", TagKeys=["a", "absent"], **named)
    assert (await iam(f"List{noun}Tags", **named))["Tags"] == pairs(C="3", b="")


@pytest.mark.parametrize("noun", ["Role", "User"])
async def test_keys_of_users_and_roles_are_one_without_regard_to_case(
    iam: Iam, names: dict[str, dict[str, str]], noun: str
) -> None:
    with pytest.raises(InvalidInput, match="Tag keys are case insensitive"):
        await iam(f"Tag{noun}", Tags=pairs(a="1", A="2"), **names[noun])
    await iam(f"Tag{noun}", Tags=pairs(team="1"), **names[noun])
    await iam(f"Tag{noun}", Tags=pairs(Team="2"), **names[noun])
    assert (await iam(f"List{noun}Tags", **names[noun]))["Tags"] == pairs(Team="2")
    await iam(f"Untag{noun}", TagKeys=["TEAM"], **names[noun])
    assert (await iam(f"List{noun}Tags", **names[noun]))["Tags"] == []


@pytest.mark.parametrize("noun", ["Policy", "SAMLProvider", "OpenIDConnectProvider"])
async def test_keys_of_others_differ_by_case(
    iam: Iam, names: dict[str, dict[str, str]], noun: str
) -> None:
    await iam(f"Tag{noun}", Tags=pairs(a="1", A="2"), **names[noun])
    await iam(f"Untag{noun}", TagKeys=["a"], **names[noun])
    assert (await iam(f"List{noun}Tags", **names[noun]))["Tags"] == pairs(A="2")
    with pytest.raises(InvalidInput) as caught:
        await iam(f"Tag{noun}", Tags=[*pairs(a="1"), *pairs(a="2")], **names[noun])
    assert caught.value.message == "Duplicate tag keys found."


async def test_the_prefix_of_system_tags_is_reserved(iam: Iam) -> None:
    for key in ("aws:x", "AWS:x"):
        with pytest.raises(InvalidInput, match="reserved"):
            await iam("CreateUser", UserName="V", Tags=pairs(**{key: "1"}))
