"""*Account settings*: alias, password policy, STS, outbound federation, quotas."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from broker.administration.buttons import Button, Buttons, typed
from broker.administration.reading import PageReader
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import FeatureDisabled, ValidationError
from broker.kinds.accounts import ALWAYS_ON, root_manager
from broker.kinds.password_policy import DEFAULT_LENGTH
from broker.stores.directory.kinds import ACCOUNT

SETTINGS = "/console/settings"
PASSWORDS = "/console/settings/passwords"
SECTION = "settings"

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1"),
    *("mx-central-1", "sa-east-1"),
    *("eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2"),
    *("eu-west-1", "eu-west-2", "eu-west-3"),
    *("ap-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2"),
    *("ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-7"),
    *("af-south-1", "il-central-1", "me-central-1", "me-south-1"),
)
"""AWS's commercial regions; any other can be switched on or off by name."""

_QUOTAS = (
    ("Users", "Users", "UsersQuota"),
    ("Groups", "Groups", "GroupsQuota"),
    ("Roles", "Roles", "RolesQuota"),
    ("Customer managed policies", "Policies", "PoliciesQuota"),
    ("Policy versions in use", "PolicyVersionsInUse", "PolicyVersionsInUseQuota"),
    ("Instance profiles", "InstanceProfiles", "InstanceProfilesQuota"),
    ("Server certificates", "ServerCertificates", "ServerCertificatesQuota"),
    ("Groups per user", "", "GroupsPerUserQuota"),
    ("Attached policies per user", "", "AttachedPoliciesPerUserQuota"),
    ("Attached policies per group", "", "AttachedPoliciesPerGroupQuota"),
    ("Attached policies per role", "", "AttachedPoliciesPerRoleQuota"),
    ("Access keys per user", "", "AccessKeysPerUserQuota"),
    ("Versions per policy", "", "VersionsPerPolicyQuota"),
    ("Characters of a policy", "", "PolicySizeQuota"),
    ("Characters of a trust policy", "", "AssumeRolePolicySizeQuota"),
)
_REGION = re.compile(r"[a-z0-9-]{1,64}")

_SWITCH = "SetSTSRegionalEndpointStatus"
_ALIAS = {"AccountAlias": typed("alias")}
_DIGITS_MAX = 4

_NUMBERS = {
    "MinimumPasswordLength": "Minimum length",
    "MaxPasswordAge": "Maximum age",
    "PasswordReusePrevention": "Previous passwords",
}
"""Members of the policy, and what a wrong number is named after."""

_FLAGS = (
    "RequireUppercaseCharacters",
    "RequireLowercaseCharacters",
    "RequireNumbers",
    "RequireSymbols",
    "HardExpiry",
    "AllowUsersToChangePassword",
)


async def _page(visit: Visit) -> Response:
    if isinstance(done := await _BUTTONS.press(visit), Response):
        return done
    reader = PageReader(visit)
    policy = await reader.iam("GetAccountPasswordPolicy")
    untold = bool(reader.refused) and policy is None
    aliases = await reader.iam("ListAccountAliases")
    regions = await reader.iam("ListSTSRegionalEndpointsStatus")
    summary = (await reader.iam("GetAccountSummary") or {}).get("SummaryMap")
    return await visit.show(
        "admin/settings.html",
        refused=reader.refused,
        aliases=aliases and aliases["AccountAliases"],
        new_alias=visit.text("alias")[:128],
        rules=[] if untold else _policy_sentences(policy and policy["PasswordPolicy"]),
        has_policy=policy is not None,
        regions=_region_rows(regions),
        always_on=ALWAYS_ON,
        issuer=await _issuer(reader),
        summary=summary,
        root_manager=await _root_manager(visit) if summary else "",
        quotas=_quota_rows(summary),
    )


async def _root_manager(visit: Visit) -> str:
    fresh = visit.deps.fresh
    account = await fresh.find(ACCOUNT, visit.who.session.account)
    return "" if account is None else root_manager(account)


async def _passwords(visit: Visit) -> Response:
    if visit.posted:
        with visit.attempt():
            if visit.text("do") == "default":
                await visit.iam("DeleteAccountPasswordPolicy")
            else:
                await visit.iam("UpdateAccountPasswordPolicy", **_read_policy(visit))
            return visit.done("Saved.", SETTINGS)
    policy = await PageReader(visit).iam("GetAccountPasswordPolicy")
    kept: Mapping[str, Any] = {} if policy is None else policy["PasswordPolicy"]
    return await visit.show(
        "admin/settings_passwords.html",
        sentences=_policy_sentences(kept or None),
        has_policy=policy is not None,
        values={
            name: visit.text(name)[:8] if visit.problem else kept.get(name, "")
            for name in (*_NUMBERS, *_FLAGS)
        },
    )


async def _issuer(reader: PageReader) -> str | None:
    """The issuer's URL; empty when outbound federation is off, None if not visible."""
    try:
        info = await reader.iam("GetOutboundWebIdentityFederationInfo")
    except FeatureDisabled:
        return ""
    return None if info is None else info["IssuerIdentifier"]


def _region_rows(answer: Mapping[str, Any] | None) -> list[tuple[str, bool]] | None:
    """Each region and whether STS is active in it; None if not visible."""
    if answer is None:
        return None
    off = answer["Disabled"]
    known = [*REGIONS, *sorted(off - set(REGIONS))]
    return [(region, region not in off) for region in known]


def _quota_rows(summary: Mapping[str, int] | None) -> list[tuple[str, int | None, int]]:
    if summary is None:
        return []
    return [
        (label, summary.get(count), summary[quota])
        for label, count, quota in _QUOTAS
        if quota in summary
    ]


def _region(visit: Visit) -> str:
    region = visit.text("region")
    if not _REGION.fullmatch(region):
        raise ValidationError("Enter a region, for example eu-central-1.")
    return region


_BUTTONS = Buttons(
    path=SETTINGS,
    member="",
    known={
        "make-alias": Button("CreateAccountAlias", _ALIAS),
        "drop-alias": Button("DeleteAccountAlias", _ALIAS),
        "region-on": Button(_SWITCH, {"Region": _region, "Active": lambda _: True}),
        "region-off": Button(_SWITCH, {"Region": _region, "Active": lambda _: False}),
        "token-version": Button(
            "SetSecurityTokenServicePreferences",
            {"GlobalEndpointTokenVersion": typed("version")},
        ),
        "outbound-on": Button("EnableOutboundWebIdentityFederation"),
        "outbound-off": Button("DisableOutboundWebIdentityFederation"),
    },
)


def _read_policy(visit: Visit) -> dict[str, int | bool]:
    params: dict[str, int | bool] = {name: bool(visit.text(name)) for name in _FLAGS}
    for name, label in _NUMBERS.items():
        if text := visit.text(name):
            if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX:
                raise ValidationError(f"{label}: enter a number.")
            params[name] = int(text)
    return params


def _policy_sentences(policy: Mapping[str, int | bool] | None) -> list[str]:
    """A policy's rules as sentences; AWS's default policy for None."""
    if policy is None:
        return [
            f"At least {DEFAULT_LENGTH} characters.",
            "At least three of: uppercase letters, lowercase letters, numbers, symbols.",
            "Not the name of the account or the user.",
            "Passwords never expire.",
        ]
    required = [
        noun
        for member, noun in (
            ("RequireUppercaseCharacters", "an uppercase letter"),
            ("RequireLowercaseCharacters", "a lowercase letter"),
            ("RequireNumbers", "a number"),
            ("RequireSymbols", "a symbol"),
        )
        if policy.get(member)
    ]
    sentences = [f"At least {policy['MinimumPasswordLength']} characters."]
    if required:
        sentences.append(f"With {_listed(required)}.")
    age = policy.get("MaxPasswordAge")
    if age:
        sentences.append(f"Passwords expire after {age} days.")
        sentences.append(
            "An administrator must reset an expired password."
            if policy.get("HardExpiry")
            else "Users with an expired password choose a new one at sign-in."
        )
    else:
        sentences.append("Passwords never expire.")
    reuse = policy.get("PasswordReusePrevention")
    if reuse:
        sentences.append(f"The last {reuse} passwords cannot be used again.")
    sentences.append(
        "Users may change their own passwords."
        if policy.get("AllowUsersToChangePassword")
        else "Users may change their own passwords if a policy allows it."
    )
    return sentences


def _listed(nouns: list[str]) -> str:
    *first, last = nouns
    return f"{', '.join(first)} and {last}" if first else last


PAGES = (
    PageRoute(SETTINGS, SECTION, _page, BOTH),
    PageRoute(PASSWORDS, SECTION, _passwords, BOTH),
)
