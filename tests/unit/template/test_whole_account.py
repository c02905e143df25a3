"""All that an account can have goes into a template and comes back from it."""

from collections.abc import Sequence
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.kinds.accounts import ROOT_MANAGED_BY
from broker.kinds.outbound import find_outbound
from broker.kinds.yaml_text import TemplateError
from broker.model.account import AccountId
from broker.stores.directory import kinds
from broker.stores.directory.kinds import MFA_DEVICE, OIDC_PROVIDER, USER
from broker.template.apply import Change, apply_template
from broker.template.section import TemplateContext
from tests.support.certificates import server_certificate
from tests.support.exported import exported_text
from tests.support.iam import ACCOUNT, NOW, OTHER, Iam, open_iam, trust

TAGS = [{"Key": "team", "Value": "blue"}]
MACHINES = trust({"Service": "ec2.amazonaws.com"})
CERTIFICATE, PRIVATE_KEY = server_certificate(valid_from=NOW)
SIGNING, _ = server_certificate(name="signer", valid_from=NOW)


def ssh_key() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_bytes(encoding, form).decode()


KEYS = tuple(ssh_key() for _ in range(2))


async def apply(
    iam: Iam, described: Any, *, prune: bool = False, account: str = ACCOUNT
) -> list[Change]:
    return await apply_template(
        yaml.safe_dump({"Accounts": {account: described}}, sort_keys=False),
        directory=iam.directory,
        context=TemplateContext(is_internal=lambda *_: False, sealer=iam.vault),
        operator="ops",
        now=iam.now,
        prune=prune,
    )


async def exported(iam: Iam, account: str = ACCOUNT) -> Any:
    stored_account = await iam.directory.find(kinds.ACCOUNT, AccountId(account))
    assert stored_account is not None
    text = await exported_text(iam.directory, stored_account)
    return yaml.safe_load(text)["Accounts"][account]


async def furnish(iam: Iam, *, parts: Sequence[str]) -> None:
    """Give the account what these parts name, with calls."""
    for name in ("ann", "ben"):
        await iam("CreateUser", UserName=name)
    await iam("CreateRole", RoleName="Machine", AssumeRolePolicyDocument=MACHINES)
    for part in parts:
        await PARTS[part](iam)


async def _profile(iam: Iam) -> None:
    await iam("CreateInstanceProfile", InstanceProfileName="web", Path="/a/", Tags=TAGS)
    await iam("AddRoleToInstanceProfile", InstanceProfileName="web", RoleName="Machine")


async def _empty_profile(iam: Iam) -> None:
    await iam("CreateInstanceProfile", InstanceProfileName="idle")


async def _certificate(iam: Iam) -> None:
    await iam(
        "UploadServerCertificate",
        ServerCertificateName="site",
        CertificateBody=CERTIFICATE,
        PrivateKey=PRIVATE_KEY,
        CertificateChain=CERTIFICATE,
        Tags=TAGS,
    )


async def _device(iam: Iam) -> None:
    await iam("CreateVirtualMFADevice", VirtualMFADeviceName="phone", Tags=TAGS)


async def _password(iam: Iam) -> None:
    await iam(
        "CreateLoginProfile",
        UserName="ann",
        Password="Correct-Horse-7",
        PasswordResetRequired=True,
    )


async def _keys(iam: Iam) -> None:
    for key in KEYS:
        made = await iam("UploadSSHPublicKey", UserName="ann", SSHPublicKeyBody=key)
    await iam(
        "UpdateSSHPublicKey",
        UserName="ann",
        SSHPublicKeyId=made["SSHPublicKey"]["SSHPublicKeyId"],
        Status="Inactive",
    )


async def _signing(iam: Iam) -> None:
    await iam("UploadSigningCertificate", UserName="ben", CertificateBody=SIGNING)


async def _account(iam: Iam) -> None:
    await iam("CreateAccountAlias", AccountAlias="example-corp")
    await iam("UpdateAccountPasswordPolicy", MinimumPasswordLength=14)


async def _settings(iam: Iam) -> None:
    await apply(
        iam,
        {
            "Broker": {
                "DisabledRegions": ["ap-south-1", "af-south-1"],
                "RootManagedBy": OTHER,
                "OutboundWebIdentityFederation": True,
                "GlobalEndpointTokenVersion": "v2Token",
                "AcceptUnlistedAwsPolicies": True,
            }
        },
    )


PARTS = {
    "profile": _profile,
    "empty profile": _empty_profile,
    "server certificate": _certificate,
    "MFA device": _device,
    "password": _password,
    "SSH keys": _keys,
    "signing certificate": _signing,
    "alias and password policy": _account,
    "settings": _settings,
}
SECRET = {"server certificate", "MFA device", "password"}
"""What a template describes and only calls can make."""


@settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(parts=st.sets(st.sampled_from(sorted(PARTS))))
async def test_an_export_applied_says_the_same_there_and_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, parts: set[str]
) -> None:
    async with open_iam(tmp_path_factory.mktemp("account") / "broker.db") as iam:
        await furnish(iam, parts=sorted(parts))
        described = await exported(iam)
        assert await apply(iam, described, prune=True) == []
        assert await exported(iam) == described
    async with open_iam(tmp_path_factory.mktemp("account") / "broker.db") as iam:
        first = await apply(iam, described)
        by_calls = {change.entity for change in first if not change.kind.is_done}
        assert len(by_calls) == len(parts & SECRET)
        again = await apply(iam, described, prune=True)
        assert {change.entity for change in again} == by_calls
        if not parts & SECRET:
            assert await exported(iam) == described
        for part in sorted(parts & SECRET):
            await PARTS[part](iam)
        assert await apply(iam, described, prune=True) == []
        assert await exported(iam) == described


async def test_no_secret_is_in_a_template(iam: Iam) -> None:
    await furnish(iam, parts=tuple(PARTS))
    account = await iam.directory.find(kinds.ACCOUNT, AccountId(ACCOUNT))
    assert account is not None
    text = await exported_text(iam.directory, account)
    assert "PRIVATE KEY" not in text
    assert "Correct-Horse" not in text
    assert "eed" not in text


async def test_a_profile_changes_its_role_and_is_pruned(iam: Iam) -> None:
    await furnish(iam, parts=("profile",))
    described = await exported(iam)
    (profile,) = described["InstanceProfiles"]
    profile["Roles"] = []
    change = (await apply(iam, described))[0]
    assert change.details == ("Roles: Machine -> nothing",)
    await apply(iam, {"InstanceProfiles": []}, prune=True)
    assert not (await iam("ListInstanceProfiles"))["InstanceProfiles"]


async def test_keys_that_no_one_names_stay_unless_they_are_pruned(iam: Iam) -> None:
    await furnish(iam, parts=("SSH keys",))
    entry = {"UserName": "ann", "SSHPublicKeys": [{"SSHPublicKeyBody": KEYS[0]}]}
    ben = {"UserName": "ben"}
    kept = await apply(iam, {"Users": [entry, ben]})
    assert [str(change.kind) for change in kept] == ["!"]
    assert len((await iam("ListSSHPublicKeys", UserName="ann"))["SSHPublicKeys"]) == 2
    await apply(iam, {"Users": [entry, ben]}, prune=True)
    (left,) = (await iam("ListSSHPublicKeys", UserName="ann"))["SSHPublicKeys"]
    assert left["Status"] == "Active"
    assert await apply(iam, {"Users": [{"UserName": "ann"}, ben]}, prune=True) == []


async def test_a_user_is_pruned_with_all_that_it_proves_itself_with(iam: Iam) -> None:
    await furnish(iam, parts=("password", "SSH keys", "signing certificate"))
    serial = (await iam("CreateVirtualMFADevice", VirtualMFADeviceName="phone"))[
        "VirtualMFADevice"
    ]["SerialNumber"]
    device = await iam.directory.named(MFA_DEVICE, AccountId(ACCOUNT), serial)
    user = await iam.directory.named(USER, AccountId(ACCOUNT), "ann")
    assert device is not None
    assert user is not None
    async with iam.directory.change(AccountId(ACCOUNT)) as change:
        await change.update(
            MFA_DEVICE, replace(device, user_id=user.user_id, enabled_at=NOW)
        )
    described = await exported(iam)
    (phone,) = described["VirtualMFADevices"]
    assert phone["Users"] == ["ann"]
    await apply(iam, {"Users": []}, prune=True)
    assert not (await iam("ListUsers"))["Users"]
    assert not (await iam("ListVirtualMFADevices"))["VirtualMFADevices"]


async def test_unlisted_policies_are_accepted_and_attached_in_one_go(iam: Iam) -> None:
    arn = "arn:aws:iam::aws:policy/service-role/MadeUpYesterday"
    described = {
        "Broker": {"AcceptUnlistedAwsPolicies": True},
        "Roles": [
            {
                "RoleName": "R",
                "AssumeRolePolicyDocument": MACHINES,
                "ManagedPolicyArns": [arn],
                "PermissionsBoundary": arn,
            }
        ],
    }
    with pytest.raises(TemplateError, match="MadeUpYesterday"):
        await apply(iam, {"Roles": described["Roles"]})
    await apply(iam, described)
    assert await apply(iam, described) == []
    (role,) = (await exported(iam))["Roles"]
    assert role["ManagedPolicyArns"] == [arn]
    assert role["PermissionsBoundary"] == arn


async def test_an_issuers_keys_stay_when_it_is_switched_off_and_on(iam: Iam) -> None:
    on = {"Broker": {"OutboundWebIdentityFederation": True}}
    (change,) = await apply(iam, on)
    assert change.details == ("OutboundWebIdentityFederation: False -> True",)

    async def keys() -> Any:
        account = await iam.directory.find(kinds.ACCOUNT, AccountId(ACCOUNT))
        assert account is not None
        outbound = find_outbound(account)
        assert outbound is not None
        return outbound.enabled, [key.public for key in outbound.keys]

    enabled, first = await keys()
    assert enabled
    await apply(iam, {"Broker": {"OutboundWebIdentityFederation": False}})
    assert await keys() == (False, first)
    await apply(iam, on)
    assert await keys() == (True, first)


async def test_a_managing_account_must_be_there(iam: Iam) -> None:
    with pytest.raises(TemplateError, match="no account"):
        await apply(iam, {"Broker": {ROOT_MANAGED_BY: "999999999999"}})
    await apply(iam, {"Broker": {ROOT_MANAGED_BY: OTHER}})
    await apply(iam, {"Broker": {ROOT_MANAGED_BY: ""}})
    assert "Broker" not in await exported(iam)


@pytest.mark.parametrize(
    ("described", "place"),
    [
        ({"Broker": {"DisabledRegions": ["us-east-1"]}}, "DisabledRegions"),
        ({"Broker": {"DisabledRegions": ["mars"]}}, "DisabledRegions"),
        ({"Broker": {"RootManagedBy": "12"}}, "RootManagedBy"),
        ({"Broker": {"GlobalEndpointTokenVersion": "v3"}}, "GlobalEndpointToken"),
        (
            {"Users": [{"UserName": "u", "LoginProfile": {"Password": "x"}}]},
            "is a secret",
        ),
        (
            {
                "Users": [
                    {"UserName": "u", "SSHPublicKeys": [{"SSHPublicKeyBody": "ä"}]}
                ]
            },
            "SSHPublicKeyBody",
        ),
        (
            {
                "Users": [
                    {
                        "UserName": "u",
                        "SSHPublicKeys": [
                            {"SSHPublicKeyBody": KEYS[0], "Status": "Lost"}
                        ],
                    }
                ]
            },
            "Active or Inactive",
        ),
        (
            {"InstanceProfiles": [{"InstanceProfileName": "p", "Roles": ["a", "b"]}]},
            "one role",
        ),
        (
            {"InstanceProfiles": [{"InstanceProfileName": "p", "Roles": ["None"]}]},
            r"InstanceProfiles\[0\]\.Roles: ",
        ),
        (
            {
                "ServerCertificates": [
                    {"ServerCertificateName": "c", "CertificateBody": "no PEM"}
                ]
            },
            "ServerCertificates",
        ),
        (
            {
                "SAMLProviders": [
                    {
                        "Name": "s",
                        "SamlMetadataDocument": "none",
                        "Broker": {"MetadataUrl": "https://idp.example.com/m"},
                    }
                ]
            },
            r"SAMLProviders\[0\]\.SamlMetadataDocument: ",
        ),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(
    iam: Iam, described: dict[str, Any], place: str
) -> None:
    with pytest.raises(TemplateError, match=place):
        await apply(iam, described)


async def test_another_certificate_is_uploaded_by_a_call(iam: Iam) -> None:
    await furnish(iam, parts=("server certificate",))
    described = await exported(iam)
    described["ServerCertificates"][0]["CertificateBody"] = SIGNING
    with pytest.raises(TemplateError, match="private key"):
        await apply(iam, described)


async def test_a_client_secret_outlives_a_change_of_its_provider(iam: Iam) -> None:
    provider = {"Url": "https://idp.example.com", "ClientIdList": ["a"]}
    await apply(iam, {"OIDCProviders": [provider]})
    async with iam.directory.change(ACCOUNT) as change:
        (oidc_provider,) = await change.all_of(OIDC_PROVIDER, ACCOUNT)
        kept = {"ClientSecret": "sealed"}
        await change.update(OIDC_PROVIDER, replace(oidc_provider, options=kept))
    await apply(iam, {"OIDCProviders": [{**provider, "ClientIdList": ["b"]}]})
    (after,) = await iam.directory.all_of(OIDC_PROVIDER, ACCOUNT)
    assert (after.client_ids, after.options) == (("b",), kept)
