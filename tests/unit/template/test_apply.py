"""Templates are applied once, printed, and applied again without effect."""

import asyncio
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.kinds.yaml_text import TemplateError
from broker.model.account import AccountId
from broker.model.entities import EncryptionMode
from broker.policy import PolicyKind, parse_policy
from broker.stores.directory import kinds
from broker.stores.directory.kinds import ACCESS_KEY, MANAGED_POLICY, SAML_PROVIDER
from broker.stores.directory.sql import SqlDirectory
from broker.stores.directory.stored import Kind
from broker.template.apply import Change, ChangeKind, apply_template
from broker.template.section import TemplateContext
from tests.support.deleted_meanwhile import delete_account
from tests.support.exported import exported_text
from tests.support.iam import ACCOUNT, NOW, OTHER, Iam, policy, trust
from tests.support.rows import cases, of_file
from tests.support.saml_idp import metadata_xml

SAMPLE = Path(__file__).parents[3] / "samples" / "account.yaml"
NEW = AccountId("000000000042")
SURROUNDINGS = TemplateContext(is_internal=lambda *_: False)


def template(account: str = ACCOUNT, **sections: Any) -> str:
    return yaml.safe_dump({"Accounts": {account: sections}})


async def apply(iam: Iam, text: str, **options: bool) -> list[Change]:
    return await apply_template(
        text,
        directory=iam.directory,
        context=SURROUNDINGS,
        operator="ops",
        now=iam.now,
        **options,
    )


async def export(iam: Iam, account: AccountId = ACCOUNT) -> str:
    stored_account = await iam.directory.find(kinds.ACCOUNT, account)
    assert stored_account is not None
    return await exported_text(iam.directory, stored_account)


def marks(changes: list[Change]) -> list[str]:
    return [f"{change.kind} {change.entity}" for change in changes]


async def audited(iam: Iam) -> list[tuple[str, str]]:
    from sqlalchemy import select

    from broker.stores.schema import AUDIT

    rows = await iam.directory.rows(select(AUDIT.c.action, AUDIT.c.caller_arn))
    return [(row.action, row.caller_arn) for row in rows]


async def test_the_sample_is_applied_whole_and_only_once(iam: Iam) -> None:
    text = SAMPLE.read_text()
    assert marks(await apply(iam, text)) == [
        "~ account",
        "+ SAML provider Corp",
        "+ OIDC provider token.actions.githubusercontent.com",
        "+ managed policy ReadReports",
        "+ user break-glass",
        "+ role Analyst",
        "+ role Deploy",
        "+ role Operator",
    ]
    assert await apply(iam, text) == []
    role = (await iam("GetRole", RoleName="Analyst"))["Role"]
    assert role["MaxSessionDuration"] == 28800
    assert role["Tags"] == [{"Key": "cost-center", "Value": "0417"}]
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert (account.alias, account.quotas) == ("example", {"PoliciesPerRole": 20})


async def test_an_export_describes_what_is_there(iam: Iam) -> None:
    await apply(iam, SAMPLE.read_text())
    exported = await export(iam)
    assert await apply(iam, exported, prune=True) == []
    assert await export(iam) == exported
    assert "Secret" not in exported


async def test_a_dry_run_says_the_same_and_writes_nothing(iam: Iam) -> None:
    text = SAMPLE.read_text()
    planned = await apply(iam, text, dry_run=True)
    assert (await iam("ListRoles"))["Roles"] == []
    assert await audited(iam) == []
    assert planned == await apply(iam, text)


async def test_an_account_that_is_missing_is_made_without_a_key(iam: Iam) -> None:
    text = template(NEW, Users=[{"UserName": "ann"}])
    planned = await apply(iam, text, dry_run=True)
    assert await iam.directory.find(kinds.ACCOUNT, NEW) is None
    changes = await apply(iam, text)
    assert planned == changes
    assert marks(changes) == ["+ account", "+ user ann"]
    assert await iam.directory.find(kinds.ACCOUNT, NEW) is not None
    assert await iam.directory.all_of(ACCESS_KEY, NEW, user_id=None) == ()


async def test_several_at_once_make_a_missing_account_once(
    iam: Iam, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = template(NEW, Users=[{"UserName": "ann"}])
    find = SqlDirectory.find
    together = asyncio.Barrier(2)

    async def find_together(
        directory: SqlDirectory, kind: Kind[Any], account: AccountId, key: str = ""
    ) -> Any:
        entity = await find(directory, kind, account, key)
        if kind is kinds.ACCOUNT and entity is None:
            await together.wait()
        return entity

    monkeypatch.setattr(SqlDirectory, "find", find_together)
    first, second = await asyncio.gather(apply(iam, text), apply(iam, text))
    assert sorted(marks(first + second)) == ["+ account", "+ user ann"]
    assert [action for action, _ in await audited(iam)].count("broker:ApplyCreate") == 2


async def test_each_change_is_on_record_as_the_operators(iam: Iam) -> None:
    await apply(iam, template(Users=[{"UserName": "ann"}]))
    await apply(iam, template(Users=[]), prune=True)
    assert await audited(iam) == [
        ("broker:ApplyCreate", "operator:ops"),
        ("broker:ApplyDelete", "operator:ops"),
    ]


async def test_only_pruning_deletes_and_only_in_given_sections(iam: Iam) -> None:
    await iam("CreateUser", UserName="Ann")
    await iam("CreateAccessKey", UserName="Ann")
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    await iam("AttachUserPolicy", UserName="Ann", PolicyArn=arn)
    await iam("PutUserPolicy", UserName="Ann", PolicyName="P", PolicyDocument=policy())
    await iam("CreateRole", RoleName="Keep", AssumeRolePolicyDocument=trust())
    text = template(Users=[])
    assert marks(await apply(iam, text)) == ["! user Ann"]
    assert len((await iam("ListUsers"))["Users"]) == 1
    assert marks(await apply(iam, text, prune=True)) == ["- user Ann"]
    assert (await iam("ListUsers"))["Users"] == []
    assert len((await iam("ListRoles"))["Roles"]) == 1


async def test_policies_of_an_owner_are_taken_away_by_pruning_only(iam: Iam) -> None:
    described = {"RoleName": "R", "AssumeRolePolicyDocument": trust()}
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    full = {
        **described,
        "ManagedPolicyArns": [arn],
        "Policies": [{"PolicyName": "P", "PolicyDocument": policy()}],
    }
    await apply(iam, template(Roles=[full]))
    kept = await apply(iam, template(Roles=[described]))
    assert marks(kept) == [
        "! inline policy P of role R",
        f"! attachment of {arn} of role R",
    ]
    assert (await iam("ListRolePolicies", RoleName="R"))["PolicyNames"] == ["P"]
    pruned = await apply(iam, template(Roles=[described]), prune=True)
    assert marks(pruned) == ["~ role R"]
    assert (await iam("ListRolePolicies", RoleName="R"))["PolicyNames"] == []
    attached = await iam("ListAttachedRolePolicies", RoleName="R")
    assert attached["AttachedPolicies"] == []


async def test_pruning_removes_a_policy_with_its_attachments_and_versions(
    iam: Iam,
) -> None:
    made = await iam("CreatePolicy", PolicyName="P", PolicyDocument=policy())
    arn = made["Policy"]["Arn"]
    await iam("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy())
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trust())
    await iam("AttachRolePolicy", RoleName="R", PolicyArn=arn)
    changes = await apply(iam, template(ManagedPolicies=[], Roles=[]), prune=True)
    assert marks(changes) == ["- role R", "- managed policy P"]


async def test_every_property_of_a_role_is_brought_up_to_date(iam: Iam) -> None:
    await iam("CreatePolicy", PolicyName="B", PolicyDocument=policy())
    before = {
        "RoleName": "R",
        "AssumeRolePolicyDocument": trust(),
        "Description": "old",
        "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/B",
        "Policies": [{"PolicyName": "P", "PolicyDocument": policy()}],
        "Tags": [{"Key": "a", "Value": "1"}],
    }
    await apply(iam, template(Roles=[before]))
    other = policy({"Effect": "Deny", "Action": "*", "Resource": "*"})
    after = {
        "RoleName": "R",
        "AssumeRolePolicyDocument": trust(OTHER),
        "MaxSessionDuration": 7200,
        "Policies": [{"PolicyName": "P", "PolicyDocument": other}],
        "Tags": [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}],
    }
    (change,) = await apply(iam, template(Roles=[after]))
    assert {detail.partition(":")[0] for detail in change.details} == {
        "AssumeRolePolicyDocument",
        "Description",
        "MaxSessionDuration",
        "PermissionsBoundary",
        "Policies.P",
        "Tags.a",
        "Tags.b",
    }
    role = (await iam("GetRole", RoleName="R"))["Role"]
    assert role["MaxSessionDuration"] == 7200
    assert "PermissionsBoundary" not in role
    assert "Description" not in role
    assert await apply(iam, template(Roles=[after])) == []


async def test_a_changed_document_is_a_new_version_and_room_is_made(iam: Iam) -> None:
    def described(bucket: str) -> str:
        text = policy({"Effect": "Allow", "Action": "s3:*", "Resource": bucket})
        return template(
            ManagedPolicies=[{"ManagedPolicyName": "P", "PolicyDocument": text}]
        )

    for number in range(7):
        await apply(iam, described(f"arn:aws:s3:::b{number}"))
    arn = f"arn:aws:iam::{ACCOUNT}:policy/P"
    versions = (await iam("ListPolicyVersions", PolicyArn=arn))["Versions"]
    assert [v["VersionId"] for v in versions] == ["v7", "v6", "v5", "v4", "v3"]
    assert versions[0]["IsDefaultVersion"]


async def test_roles_may_trust_each_other_and_themselves_across_accounts(
    iam: Iam,
) -> None:
    def role(name: str, *trusted: str) -> dict[str, object]:
        return {"RoleName": name, "AssumeRolePolicyDocument": trust(list(trusted))}

    first = f"arn:aws:iam::{ACCOUNT}:role/First"
    second = f"arn:aws:iam::{OTHER}:role/Second"
    text = yaml.safe_dump(
        {
            "Accounts": {
                ACCOUNT: {"Roles": [role("First", first, second)]},
                OTHER: {"Roles": [role("Second", first)]},
            }
        }
    )
    assert marks(await apply(iam, text)) == ["+ role First", "+ role Second"]
    assert await apply(iam, text) == []
    stored = await iam.directory.named(kinds.ROLE, ACCOUNT, "First")
    assert stored is not None
    assert "Deny" not in stored.trust_policy
    assert stored.role_id in stored.trust_policy


async def test_a_principal_that_no_one_promises_is_refused(iam: Iam) -> None:
    nobody = f"arn:aws:iam::{ACCOUNT}:role/Nobody"
    described = [{"RoleName": "R", "AssumeRolePolicyDocument": trust(nobody)}]
    users = [{"UserName": "ann"}]
    with pytest.raises(TemplateError, match=r"Roles\[0\]\.\w+Document: Invalid prin"):
        await apply(iam, template(Roles=described, Users=users))
    assert (await iam("ListUsers"))["Users"] == [], "nothing of the account was written"


async def test_options_of_a_provider_are_set_and_checked(iam: Iam) -> None:
    provider = {"Name": "S", "SamlMetadataDocument": metadata_xml()}
    await apply(iam, template(SAMLProviders=[provider]))
    with_options = {**provider, "Broker": {"Profile": "aws"}}
    (change,) = await apply(iam, template(SAMLProviders=[with_options]))
    assert change.details == ("Broker.Profile: nothing -> aws",)
    stored = await iam.directory.named(SAML_PROVIDER, ACCOUNT, "S")
    assert stored is not None
    assert stored.options == {"Profile": "aws"}

    def refuse(_kind: object, _options: object) -> None:
        raise ValueError("Profile must be strict or aws")

    with pytest.raises(TemplateError, match=r"SAMLProviders\[0\]\.Broker: Profile"):
        await apply_template(
            template(SAMLProviders=[with_options]),
            directory=iam.directory,
            context=TemplateContext(is_internal=lambda *_: False, check_options=refuse),
            operator="ops",
            now=NOW,
        )


async def test_decryption_keys_are_left_alone_and_required_needs_one(iam: Iam) -> None:
    from tests.support.saml_idp import key_pair

    described = {"Name": "S", "SamlMetadataDocument": metadata_xml()}
    required = {**described, "AssertionEncryptionMode": "Required"}
    with pytest.raises(TemplateError, match="no private key is present"):
        await apply(iam, template(SAMLProviders=[required]))
    await apply(iam, template(SAMLProviders=[described]))
    await iam(
        "UpdateSAMLProvider",
        SAMLProviderArn=f"arn:aws:iam::{ACCOUNT}:saml-provider/S",
        AddPrivateKey=key_pair("decryption").private_pem.decode(),
    )
    await apply(iam, template(SAMLProviders=[required]))
    stored = await iam.directory.named(SAML_PROVIDER, ACCOUNT, "S")
    assert stored is not None
    assert stored.encryption_mode is EncryptionMode.REQUIRED
    assert len(stored.private_keys) == 1
    assert "PRIVATE" not in await export(iam)


async def test_an_alias_and_quotas_that_are_not_named_stay(iam: Iam) -> None:
    await apply(iam, template(Alias="acme", Broker={"Quotas": {"PolicySize": 9000}}))
    assert await apply(iam, template(Broker={"Quotas": {"PolicySize": 9000}})) == []
    await apply(iam, template(Broker={"Quotas": {"RolesPerAccount": 5}}))
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert account.alias == "acme"
    assert account.quotas == {"PolicySize": 9000, "RolesPerAccount": 5}
    with pytest.raises(TemplateError, match="must have 3 to 63"):
        await apply(iam, template(Alias="-no-"))
    await apply(iam, template(Alias=""))
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    assert account.alias is None


ROLE = {"RoleName": "R", "AssumeRolePolicyDocument": trust()}


@cases("sections, message")
async def test_a_mistake_is_named_with_its_place(
    iam: Iam, sections: dict[str, object], message: str
) -> None:
    with pytest.raises(TemplateError, match=message):
        await apply(iam, template(**sections), dry_run=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line"),
        ("- a", "must be a mapping"),
        ("Accounts: []", "Accounts: must map"),
        ("Acounts: {}", "Accounts: must map"),
        ("Accounts: {}\nMore: 1", "More: there is no such property"),
        ("Accounts: {'123': {}}", "not a 12-digit account id"),
        ("Accounts:\n  '1': {}\n  '1': {}", "line 3: '1' comes twice"),
        ("Accounts: !!python/object:os.system {}", "could not determine"),
        ("[" * 5000, "not YAML|line"),
    ],
)
async def test_a_malformed_template_is_refused(
    iam: Iam, text: str, message: str
) -> None:
    with pytest.raises(TemplateError, match=message):
        await apply(iam, text)


@cases("first, second, message")
async def test_what_cannot_change_says_so(
    iam: Iam, first: dict[str, object], second: dict[str, object], message: str
) -> None:
    await apply(iam, template(**first))
    with pytest.raises(TemplateError, match=message):
        await apply(iam, template(**second))


async def test_a_user_moves_and_is_spelled_again(iam: Iam) -> None:
    await apply(iam, template(Users=[{"UserName": "ann"}]))
    (change,) = await apply(iam, template(Users=[{"UserName": "Ann", "Path": "/p/"}]))
    assert change.details == ("UserName: ann -> Ann", "Path: / -> /p/")
    user = (await iam("GetUser", UserName="ann"))["User"]
    assert user["Arn"].endswith(":user/p/Ann")


async def test_yaml_is_read_by_the_core_schema(iam: Iam) -> None:
    """Versions are not dates, account ids no octal numbers, ``on`` no truth."""
    text = f"""
    Accounts:
      000000000042:
        Roles:
          - RoleName: on
            AssumeRolePolicyDocument:
              Version: 2012-10-17
              Statement: [{{Effect: Allow, Principal: {{AWS: {ACCOUNT}}}, Action: sts:AssumeRole}}]
    """
    with pytest.raises(TemplateError, match="AWS: must be a string"):
        await apply(iam, text)
    quoted = text.replace(f"AWS: {ACCOUNT}", f'AWS: "{ACCOUNT}"')
    changes = await apply(iam, quoted)
    assert marks(changes) == ["+ account", "+ role on"]
    assert changes[0].account == NEW
    assert changes[0].kind is ChangeKind.CREATE


def without_identity(answer: Any) -> Any:
    """An answer without what is new at every creation: unique ids and times."""
    if isinstance(answer, dict):
        return {
            key: without_identity(value)
            for key, value in answer.items()
            if key not in {"RoleId", "UserId", "PolicyId", "SAMLProviderUUID"}
            and not key.endswith("Date")
        }
    if isinstance(answer, list):
        return [without_identity(item) for item in answer]
    return answer


async def answers(iam: Iam) -> list[Any]:
    """What an administrator reads of an account's whole set-up."""
    results = []
    for role in (await iam("ListRoles"))["Roles"]:
        name = {"RoleName": role["RoleName"]}
        results += [
            await iam("GetRole", **name),
            await iam("ListAttachedRolePolicies", **name),
        ]
        for policy_name in (await iam("ListRolePolicies", **name))["PolicyNames"]:
            results.append(await iam("GetRolePolicy", PolicyName=policy_name, **name))
    for user in (await iam("ListUsers"))["Users"]:
        results.append(await iam("GetUser", UserName=user["UserName"]))
    for item in (await iam("ListPolicies", Scope="Local"))["Policies"]:
        arn = {"PolicyArn": item["Arn"]}
        results += [
            await iam("GetPolicy", **arn),
            await iam("GetPolicyVersion", VersionId=item["DefaultVersionId"], **arn),
        ]
    for item in (await iam("ListSAMLProviders"))["SAMLProviderList"]:
        results.append(await iam("GetSAMLProvider", SAMLProviderArn=item["Arn"]))
    listed = await iam("ListOpenIDConnectProviders")
    for item in listed["OpenIDConnectProviderList"]:
        arn = {"OpenIDConnectProviderArn": item["Arn"]}
        results.append(await iam("GetOpenIDConnectProvider", **arn))
    return [without_identity(answer) for answer in results]


async def test_calls_and_a_template_set_up_the_same_account(iam: Iam) -> None:
    """The template is written from what calls made, and makes the same elsewhere."""
    compact = policy().replace(" ", "")
    tags = [{"Key": "b", "Value": "1"}, {"Key": "a", "Value": ""}]
    made = await iam(
        "CreatePolicy",
        PolicyName="P",
        Path="/p/",
        PolicyDocument=compact,
        Description="d",
        Tags=tags,
    )
    arn = made["Policy"]["Arn"]
    await iam("CreateUser", UserName="U", PermissionsBoundary=arn, Tags=tags)
    user = f"arn:aws:iam::{ACCOUNT}:user/U"
    trusted = trust(["*", user]).replace(" ", "")
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trusted, Tags=tags)
    await iam("UpdateRole", RoleName="R", Description="d", MaxSessionDuration=7200)
    await iam("AttachRolePolicy", RoleName="R", PolicyArn=arn)
    await iam("PutRolePolicy", RoleName="R", PolicyName="I", PolicyDocument=compact)
    await iam("CreateSAMLProvider", Name="S", SAMLMetadataDocument=metadata_xml())
    await iam(
        "CreateOpenIDConnectProvider",
        Url="https://idp.example.com/x/",
        ClientIDList=["b", "a"],
        ThumbprintList=["A" * 40],
        Tags=tags,
    )
    before = await answers(iam)
    exported = await export(iam)
    async with iam.directory.change(ACCOUNT) as change:
        await delete_account(change, ACCOUNT)
    await apply(iam, exported)
    assert await answers(iam) == before


READ, WRITE = policy(), policy().replace("GetObject", "PutObject")
SPELLED: Any = of_file(__file__, "SPELLED")


def spelled(spelling: Callable[[str], str], document: str) -> str:
    """The entities with every name that refers to another in this spelling."""
    sections = copy.deepcopy(SPELLED)
    sections["Users"][0]["Groups"] = [spelling("Dev")]
    sections["InstanceProfiles"][0]["Roles"] = [spelling("R")]
    for section in ("Groups", "Roles", "Users"):
        item = {"PolicyName": spelling("In"), "PolicyDocument": document}
        sections[section][0]["Policies"] = [item]
    return template(**sections)


@pytest.mark.parametrize("prune", [False, True])
async def test_names_have_no_case(iam: Iam, prune: bool) -> None:
    await apply(iam, spelled(str.title, READ))
    assert await apply(iam, spelled(str.lower, READ), prune=prune) == []
    changed = await apply(iam, spelled(str.upper, WRITE), prune=prune)
    assert marks(changed) == ["~ group Dev", "~ user U", "~ role R"]
    assert all("Policies.In: " in change.details[0] for change in changed)
    assert await apply(iam, spelled(str.lower, WRITE), prune=prune) == []
    for listed in ("ListUserPolicies", "ListGroupPolicies", "ListRolePolicies"):
        kind = listed.removeprefix("List").removesuffix("Policies")
        name = {"User": "U", "Group": "Dev", "Role": "R"}[kind]
        entity = await iam(listed, **{f"{kind}Name": name})
        assert entity["PolicyNames"] == ["In"]


async def test_inline_policies_that_differ_in_case_only_are_refused(iam: Iam) -> None:
    twice = [{"PolicyName": name, "PolicyDocument": READ} for name in ("In", "in")]
    with pytest.raises(TemplateError, match="in comes twice"):
        await apply(iam, template(Users=[{"UserName": "U", "Policies": twice}]))


@pytest.mark.parametrize("section", ["ManagedPolicies", "Users"])
async def test_no_key_of_a_policy_in_json_is_passed_over(
    iam: Iam, section: str
) -> None:
    twice = READ.replace('"Effect"', '"Effect": "Deny", "Effect"', 1)
    entity: dict[str, Any] = {"ManagedPolicyName": "P", "PolicyDocument": twice}
    if section == "Users":
        inline = {"PolicyName": "P", "PolicyDocument": twice}
        entity = {"UserName": "U", "Policies": [inline]}
    with pytest.raises(TemplateError, match='"Effect" stands twice'):
        await apply(iam, template(**{section: [entity]}))


@pytest.mark.parametrize(
    "number", ["7", "1.5", "-0", "1.10", "1e2", "1e-7", "12345678901234567890.5"]
)
async def test_numbers_in_policies_keep_their_digits(iam: Iam, number: str) -> None:
    condition = f'"Condition": {{"StringEquals": {{"aws:username": {number}}}}}, '
    document = READ.replace('"Effect"', condition + '"Effect"', 1)
    await iam("CreatePolicy", PolicyName="P", PolicyDocument=document)
    user = (await iam("CreateUser", UserName="U"))["User"]["Arn"]
    trusted = trust(user).replace('"Effect"', condition + '"Effect"', 1)
    await iam("CreateRole", RoleName="R", AssumeRolePolicyDocument=trusted)
    exported = await export(iam)
    assert await apply(iam, exported) == []
    async with iam.directory.change(ACCOUNT) as change:
        await delete_account(change, ACCOUNT)
    await apply(iam, exported)
    held = await iam.directory.named(MANAGED_POLICY, ACCOUNT, "P")
    role = await iam.directory.named(kinds.ROLE, ACCOUNT, "R")
    assert held is not None
    assert role is not None
    for text, kind in (
        (held.default_version.document, PolicyKind.IDENTITY),
        (role.trust_policy, PolicyKind.TRUST),
    ):
        (statement,) = parse_policy(text, kind).statements
        assert statement.conditions[0].values == (number,)


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 1001])
@pytest.mark.parametrize("section", ["ManagedPolicies", "Roles"])
async def test_descriptions_that_cannot_be_stored_are_refused(
    iam: Iam, section: str, text: str
) -> None:
    entity = {"RoleName": "R", "AssumeRolePolicyDocument": trust()}
    if section == "ManagedPolicies":
        entity = {"ManagedPolicyName": "P", "PolicyDocument": READ}
    params = {"Accounts": {ACCOUNT: {section: [{**entity, "Description": text}]}}}
    with pytest.raises(TemplateError, match=r"Description: has .*(?:stored|fit)"):
        await apply(iam, json.dumps(params))


async def test_paths_are_what_calls_take(iam: Iam) -> None:
    longest = f"/a/{'b' * 508}/"
    await iam("CreateUser", UserName="U", Path=longest)
    assert await apply(iam, await export(iam)) == []
    with pytest.raises(TemplateError, match="at most 512"):
        await apply(iam, template(Users=[{"UserName": "V", "Path": f"{longest}b/"}]))


@pytest.mark.parametrize("section", ["Groups", "ManagedPolicyArns"])
async def test_names_that_no_text_can_be_are_refused(iam: Iam, section: str) -> None:
    params = {
        "Accounts": {ACCOUNT: {"Users": [{"UserName": "U", section: ["\ud800"]}]}}
    }
    with pytest.raises(TemplateError, match="cannot be stored"):
        await apply(iam, json.dumps(params))


@pytest.mark.parametrize(
    "sections",
    [
        {"Users": [{"UserName": "u" * 65}]},
        {"Roles": [{"RoleName": "r" * 65, "AssumeRolePolicyDocument": trust()}]},
        {"Groups": [{"GroupName": "g" * 129}]},
        {"SAMLProviders": [{"Name": "a/b", "SamlMetadataDocument": metadata_xml()}]},
        {"SAMLProviders": [{"Name": "s" * 129, "SamlMetadataDocument": "x"}]},
    ],
)
async def test_no_entity_has_a_name_that_calls_cannot_have(
    iam: Iam, sections: dict[str, Any]
) -> None:
    with pytest.raises(TemplateError, match=r"Name: must be 1 to (?:64|128) letters"):
        await apply(iam, template(**sections))
