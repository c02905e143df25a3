"""What an account has, counted: its summary, the credential report, when a key was last used."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, change, read
from broker.errors import (
    AccessDenied,
    ReportExpired,
    ReportNotPresent,
)
from broker.kinds.accounts import (
    TOKEN_VERSION,
    require_account,
)
from broker.kinds.credential_report import (
    REPORT_ID,
    VALID_FOR,
    ReportedCredentials,
    credential_report,
)
from broker.kinds.limits import Quota, quota
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.credentials import CredentialKind
from broker.model.entities import User
from broker.model.page import read_pages
from broker.model.request import Params
from broker.model.uses import Report
from broker.runtime.offload import offload
from broker.stores.directory import kinds
from broker.stores.directory.identities import find_access_key
from broker.stores.directory.policies import count_used_policies
from broker.stores.directory.port import DirectoryReader
from broker.stores.directory.reports import list_uses, put_report
from broker.stores.directory.stored import Kind

if TYPE_CHECKING:
    from broker.model.types import iam as types


_USERS_A_QUERY = 1000


_QUOTAS = {
    "UsersQuota": Quota.USERS,
    "GroupsQuota": Quota.GROUPS,
    "RolesQuota": Quota.ROLES,
    "PoliciesQuota": Quota.POLICIES,
    "PolicySizeQuota": Quota.POLICY_SIZE,
    "VersionsPerPolicyQuota": Quota.VERSIONS_PER_POLICY,
    "AttachedPoliciesPerUserQuota": Quota.POLICIES_PER_USER,
    "AttachedPoliciesPerGroupQuota": Quota.POLICIES_PER_GROUP,
    "AttachedPoliciesPerRoleQuota": Quota.POLICIES_PER_ROLE,
    "GroupsPerUserQuota": Quota.GROUPS_PER_USER,
    "UserPolicySizeQuota": Quota.USER_INLINE_SIZE,
    "GroupPolicySizeQuota": Quota.GROUP_INLINE_SIZE,
    "RolePolicySizeQuota": Quota.ROLE_INLINE_SIZE,
    "AssumeRolePolicySizeQuota": Quota.TRUST_POLICY_SIZE,
    "AccessKeysPerUserQuota": Quota.ACCESS_KEYS_PER_USER,
    "SigningCertificatesPerUserQuota": Quota.SIGNING_CERTIFICATES_PER_USER,
    "ServerCertificatesQuota": Quota.SERVER_CERTIFICATES,
    "InstanceProfilesQuota": Quota.INSTANCE_PROFILES,
}


_POLICY_VERSIONS = 10_000


_COUNTS: dict[str, Kind[Any]] = {
    "Users": kinds.USER,
    "Groups": kinds.GROUP,
    "Roles": kinds.ROLE,
    "Policies": kinds.MANAGED_POLICY,
    "InstanceProfiles": kinds.INSTANCE_PROFILE,
    "ServerCertificates": kinds.SERVER_CERTIFICATE,
    "MFADevices": kinds.MFA_DEVICE,
}


async def _get_summary(_given: Params, call: Call) -> types.GetAccountSummaryResponse:
    account = await require_account(call.directory, call.account)
    summary = {name: quota(account, which) for name, which in _QUOTAS.items()}
    summary["PolicyVersionsInUseQuota"] = _POLICY_VERSIONS
    second = account.options.get(TOKEN_VERSION) == "v2Token"
    summary[TOKEN_VERSION] = 2 if second else 1
    for name, kind in _COUNTS.items():
        summary[name] = await call.directory.count(kind, call.account)
    directory = call.directory
    used = await count_used_policies(directory, call.account)
    summary["PolicyVersionsInUse"] = used
    both: tuple[Kind[Any], ...] = (kinds.SAML_PROVIDER, kinds.OIDC_PROVIDER)
    providers = [await directory.count(kind, call.account) for kind in both]
    summary["Providers"] = sum(providers)
    root_keys = await directory.all_of(kinds.ACCESS_KEY, call.account, user_id=None)
    summary["AccountAccessKeysPresent"] = int(bool(root_keys))
    devices = await directory.all_of(kinds.MFA_DEVICE, call.account)
    passkeys = await directory.all_of(kinds.PASSKEY, call.account)
    summary["MFADevices"] += len(passkeys)
    owners = [device.user_id for device in devices if device.user_id]
    owners += [passkey.user_id for passkey in passkeys]
    summary["MFADevicesInUse"] = len(owners)
    summary["AccountMFAEnabled"] = int(call.account in owners)
    root = await directory.find(kinds.LOGIN_PROFILE, call.account, call.account)
    summary["AccountPasswordPresent"] = int(root is not None)
    certificates = await directory.all_of(
        kinds.USER_CREDENTIAL,
        call.account,
        kind=CredentialKind.SIGNING_CERTIFICATE,
        user_id=call.account,
    )
    summary["AccountSigningCertificatesPresent"] = int(bool(certificates))
    return {"SummaryMap": dict(sorted(summary.items()))}


async def _prepare_report(_given: Params, call: Call) -> Report | None:
    """Reading a large account takes a while: it is done before the transaction."""
    report = await call.directory.find(kinds.REPORT, call.account, REPORT_ID)
    if report is not None and call.now - report.made_at < VALID_FOR:
        return None
    directory, number = call.directory, call.account
    account = await require_account(directory, number)
    credentials = ReportedCredentials(
        users=await _all_users(directory, number),
        keys=await directory.all_of(kinds.ACCESS_KEY, number),
        profiles=await directory.all_of(kinds.LOGIN_PROFILE, number),
        uses=await list_uses(directory, number),
        with_mfa=await _with_mfa(directory, number),
        certificates=await directory.all_of(
            kinds.USER_CREDENTIAL, number, kind=CredentialKind.SIGNING_CERTIFICATE
        ),
    )
    return Report(
        account=number,
        report_id=REPORT_ID,
        made_at=call.now.replace(microsecond=0),
        body=await offload(lambda: credential_report(account, credentials)),
    )


async def _generate_report(
    _given: Params, call: Call
) -> types.GenerateCredentialReportResponse:
    if not isinstance(call.prepared, Report):
        return {"State": "COMPLETE"}
    await require_account(call.change, call.account)
    await put_report(call.change, call.prepared)
    return {
        "State": "STARTED",
        "Description": "No report exists. Starting a new report generation task",
    }


async def _get_report(_given: Params, call: Call) -> types.GetCredentialReportResponse:
    report = await call.directory.find(kinds.REPORT, call.account, REPORT_ID)
    if report is None:
        raise ReportNotPresent(advice="Call GenerateCredentialReport to make one.")
    if call.now - report.made_at >= VALID_FOR:
        raise ReportExpired(
            "The most recent credential report has expired."
            " Use GenerateCredentialReport to make a new one."
        )
    return {
        "Content": report.body.encode(),
        "ReportFormat": "text/csv",
        "GeneratedTime": report.made_at,
    }


async def _get_key_last_used(
    params: types.GetAccessKeyLastUsedRequest, call: Call
) -> types.GetAccessKeyLastUsedResponse:
    key_id = params["AccessKeyId"]
    key = await find_access_key(call.directory, key_id)
    if key is None or key.account != call.account:
        # Callers must not learn whether another account has such a key.
        raise AccessDenied(
            f"User: {call.caller.principal.arn} is not authorized to perform"
            f" iam:GetAccessKeyLastUsed on resource: access key {key_id}"
        )
    uses = await list_uses(call.directory, call.account, [key_id])
    used: types.AccessKeyLastUsed = {"ServiceName": "N/A", "Region": "N/A"}
    if uses:
        used = {
            "LastUsedDate": uses[0].at,
            "ServiceName": uses[0].service,
            "Region": uses[0].region,
        }
    answer: types.GetAccessKeyLastUsedResponse = {"AccessKeyLastUsed": used}
    if key.user_id is not None:
        user = await call.directory.find(kinds.USER, call.account, key.user_id)
        if user is not None:
            answer["UserName"] = user.name
    return answer


async def _key(params: Params, call: Call) -> ActionTarget:
    """The owner of the key; a refusal does not say who that is."""
    owner = await _key_owner(params, call)
    return replace(owner, shown=f"access key {params['AccessKeyId']}")


async def _key_owner(params: Params, call: Call) -> ActionTarget:
    key = await find_access_key(call.directory, params["AccessKeyId"])
    if key is None or key.account != call.account:
        return ActionTarget(iam_arn(call.account, "user/*"))
    if key.user_id is None:
        return ActionTarget(iam_arn(call.account, "root"))
    user = await call.directory.find(kinds.USER, call.account, key.user_id)
    if user is None:
        return ActionTarget(iam_arn(call.account, "user/*"))
    return await on.user({"UserName": user.name}, call)


async def _all_users(directory: DirectoryReader, account: AccountId) -> list[User]:
    users: list[User] = []
    listed = partial(directory.page_of, kinds.USER, account)
    async for page in read_pages(listed, _USERS_A_QUERY):
        users += page
    return users


async def _with_mfa(directory: DirectoryReader, account: AccountId) -> frozenset[str]:
    """Who has an MFA device in use; the root by the account's number."""
    devices = await directory.all_of(kinds.MFA_DEVICE, account)
    passkeys = await directory.all_of(kinds.PASSKEY, account)
    return frozenset(device.user_id for device in devices if device.user_id) | {
        passkey.user_id for passkey in passkeys
    }


ACCOUNT_REPORTS: tuple[Action, ...] = (
    read("GetAccountSummary", _get_summary, on.account),
    change(
        "GenerateCredentialReport",
        _generate_report,
        on.account,
        prepare=_prepare_report,
        calls=20,
    ),
    read("GetCredentialReport", _get_report, on.account),
    read("GetAccessKeyLastUsed", _get_key_last_used, _key),
)
