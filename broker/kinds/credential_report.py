"""The credential report: one line of CSV a user, the root's first.

Source: IAM User Guide, "Get credential reports for your AWS account".
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from broker.kinds.password_policy import expires_at
from broker.model.account import Account
from broker.model.arn import iam_arn
from broker.model.credentials import CredentialStatus, UserCredential
from broker.model.entities import AccessKey, KeyStatus, LoginProfile, User
from broker.model.uses import Use

VALID_FOR = timedelta(hours=4)
REPORT_ID = "credential-report"
ROOT = "<root_account>"
PASSWORD_USE = ("signin", "password")
"""Service and action of the use of a user's password."""

COLUMNS = (
    *("user", "arn", "user_creation_time", "password_enabled", "password_last_used"),
    *("password_last_changed", "password_next_rotation", "mfa_active"),
    *(
        f"access_key_{number}_{what}"
        for number in (1, 2)
        for what in (
            "active",
            "last_rotated",
            "last_used_date",
            "last_used_region",
            "last_used_service",
        )
    ),
    *("cert_1_active", "cert_1_last_rotated"),
    *("cert_2_active", "cert_2_last_rotated"),
)
_KEYS = 2
_CERTIFICATES = 2
_NONE = "N/A"


class ReportedCredentials(Struct, frozen=True, kw_only=True):
    """All credentials of an account, by their owners' ids (None for the root)."""

    users: Sequence[User]
    keys: Iterable[AccessKey]
    profiles: Iterable[LoginProfile]
    uses: Iterable[Use]
    with_mfa: frozenset[str] = frozenset()
    """Ids of the users that have an MFA device in use; the root's is the account's."""
    certificates: Iterable[UserCredential] = ()


def credential_report(account: Account, credentials: ReportedCredentials) -> str:
    """The report as CSV."""
    keys: dict[str | None, list[AccessKey]] = defaultdict(list)
    for key in credentials.keys:
        keys[key.user_id].append(key)
    profiles = {profile.user_id: profile for profile in credentials.profiles}
    uses: dict[tuple[str, str], Use] = {}
    for use in credentials.uses:
        # The latest comes first.
        uses.setdefault((use.subject, use.action), use)
    certificates: dict[str, list[UserCredential]] = defaultdict(list)
    for certificate in credentials.certificates:
        certificates[certificate.user_id].append(certificate)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    root = account.account_id
    used = uses.get((root, PASSWORD_USE[1]))
    writer.writerow(
        [
            ROOT,
            iam_arn(root, "root"),
            _time(account.created_at),
            "not_supported",
            "no_information" if used is None else _time(used.at),
            "not_supported",
            "not_supported",
            _flag(root in credentials.with_mfa),
            *_key_cells(keys[None], uses),
            *_certificate_cells(certificates[root]),
        ]
    )
    for user in credentials.users:
        writer.writerow(
            [
                user.name,
                user.arn,
                _time(user.created_at),
                *_password_cells(account, user, profiles.get(user.user_id), uses),
                _flag(user.user_id in credentials.with_mfa),
                *_key_cells(keys[user.user_id], uses),
                *_certificate_cells(certificates[user.user_id]),
            ]
        )
    return out.getvalue().rstrip("\n")


def _password_cells(
    account: Account,
    user: User,
    profile: LoginProfile | None,
    uses: Mapping[tuple[str, str], Use],
) -> list[str]:
    if profile is None:
        return ["false", _NONE, _NONE, _NONE]
    used = uses.get((user.user_id, PASSWORD_USE[1]))
    rotation = expires_at(account, profile)
    return [
        "true",
        "no_information" if used is None else _time(used.at),
        _time(profile.changed_at),
        _NONE if rotation is None else _time(rotation),
    ]


def _key_cells(
    keys: Sequence[AccessKey], uses: Mapping[tuple[str, str], Use]
) -> list[str]:
    cells: list[str] = []
    for key in keys[:_KEYS]:
        used = uses.get((key.access_key_id, ""))
        cells += [
            _flag(key.status is KeyStatus.ACTIVE),
            _time(key.created_at),
            *(
                [_NONE, _NONE, _NONE]
                if used is None
                else [_time(used.at), used.region, used.service]
            ),
        ]
    for _ in range(_KEYS - len(keys)):
        cells += ["false", _NONE, _NONE, _NONE, _NONE]
    return cells


def _certificate_cells(certificates: Sequence[UserCredential]) -> list[str]:
    cells: list[str] = []
    for certificate in certificates[:_CERTIFICATES]:
        active = certificate.status is CredentialStatus.ACTIVE
        cells += [_flag(active), _time(certificate.created_at)]
    for _ in range(_CERTIFICATES - len(certificates)):
        cells += ["false", _NONE]
    return cells


def _flag(value: bool) -> str:  # noqa: FBT001  # a cell's value
    return "true" if value else "false"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
