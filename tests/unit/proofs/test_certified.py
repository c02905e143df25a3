"""What a certificate made opens as long as the certificate, used as it was, would."""

from collections.abc import Awaitable, Callable, Hashable
from datetime import UTC, datetime
from typing import Any

import pytest

from broker.model.account import AccountId
from broker.model.lineage import NO_LINEAGE, Lineage, Origin
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.proofs.certified import certificate_target, find_certificate_end
from broker.protocols.x509.revocation import issuer_digest
from broker.stores.directory.kinds import CERTIFICATE_PROFILE, TRUST_ANCHOR
from tests.support.certificates import Issued, issue

ACCOUNT = AccountId("111122223333")
NOW = datetime.now(UTC)
ROOT = issue("Corp Root", is_authority=True)
LEAF = ROOT.issue("web-1")
COMMON: dict[str, Any] = {
    "account": ACCOUNT,
    "region": "eu-west-3",
    "name": "corp",
    "created_at": NOW,
    "updated_at": NOW,
}
LINEAGE = Lineage(
    origin=Origin(
        account=ACCOUNT,
        targets=(
            certificate_target(
                "anchor",
                "profile",
                LEAF.certificate.serial_number,
                issuer_digest(LEAF.certificate.issuer),
            ),
        ),
    )
)


class Directory:
    """One trust anchor with its profile and its lists."""

    def __init__(
        self,
        *lists: bytes,
        anchor: bool | None = True,
        profile: bool | None = True,
        is_listed: bool = True,
    ) -> None:
        self._enabled = {TRUST_ANCHOR: anchor, CERTIFICATE_PROFILE: profile}
        self._lists = tuple(
            CertificateList(
                list_id=str(number),
                anchor_id="anchor",
                data=data,
                enabled=is_listed,
                **COMMON,
            )
            for number, data in enumerate(lists)
        )
        self.memo = self

    async def find(self, kind: Any, account: AccountId, key: str) -> object:
        enabled = self._enabled[kind]
        if account != ACCOUNT or enabled is None:
            return None
        if kind is TRUST_ANCHOR:
            assert key == "anchor"
            return TrustAnchor(
                anchor_id=key, certificates=ROOT.pem, enabled=enabled, **COMMON
            )
        assert key == "profile"
        return CertificateProfile(
            profile_id=key,
            role_arns=(),
            managed_policy_arns=(),
            session_policy=None,
            duration_seconds=3600,
            accepts_session_name=False,
            attribute_mappings={},
            enabled=enabled,
            created_by="",
            **COMMON,
        )

    async def read(self, *_: object) -> tuple[CertificateList, ...]:
        return self._lists

    async def keep(
        self,
        _account: AccountId,
        _key: Hashable,
        _source: Hashable,
        compute: Callable[[], Awaitable[Any]],
    ) -> Any:
        return await compute()


async def end(directory: Directory, lineage: Lineage = LINEAGE) -> str:
    return await find_certificate_end(lineage, directory, NOW)  # type: ignore[arg-type]


def listed(*revoked: Issued, by: Issued = ROOT, days: float = 30) -> bytes:
    return by.revoke(*revoked, days=days)


OTHER = issue("Other Root", is_authority=True)


@pytest.mark.parametrize(
    "directory",
    [
        Directory(),
        Directory(listed(ROOT.issue("web-2"))),
        Directory(listed(LEAF), is_listed=False),
        Directory(listed(LEAF, by=OTHER)),
        Directory(listed(by=OTHER, days=-0.5)),
        Directory(listed(days=-0.5), listed()),
    ],
)
async def test_it_opens(directory: Directory) -> None:
    assert await end(directory) == ""


@pytest.mark.parametrize(
    ("directory", "why"),
    [
        (Directory(anchor=False), "trust anchor anchor is deleted or disabled"),
        (Directory(anchor=None), "trust anchor anchor is deleted or disabled"),
        (Directory(profile=False), "profile profile is deleted or disabled"),
        (Directory(profile=None), "profile profile is deleted or disabled"),
        (Directory(listed(), listed(LEAF)), "is revoked"),
        (Directory(listed(days=-0.5)), "is out of date"),
    ],
)
async def test_it_opens_no_more(directory: Directory, why: str) -> None:
    assert why in await end(directory)


async def test_what_no_certificate_made_is_not_asked_about() -> None:
    provider = "arn:aws:iam::123456789012:oidc-provider/issuer.example/a/b/c"
    targets = ("person/certificate", "subject/x", provider, "certificate/of/another")
    person = Origin(account=ACCOUNT, targets=targets)
    unknown = Origin(targets=LINEAGE.origin.targets)
    for lineage in (NO_LINEAGE, Lineage(origin=person), Lineage(origin=unknown)):
        assert await end(Directory(anchor=None, profile=None), lineage) == ""
