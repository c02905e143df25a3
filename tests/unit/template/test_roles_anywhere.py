"""``TrustAnchors``, ``Profiles`` and ``Crls`` in a template, and back."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.kinds.yaml_text import TemplateError
from broker.stores.directory import kinds
from broker.stores.directory.kinds import (
    CERTIFICATE_LIST,
    CERTIFICATE_PROFILE,
    TRUST_ANCHOR,
)
from broker.template.apply import Change, apply_template
from broker.template.section import TemplateContext
from tests.support.certificates import issue
from tests.support.exported import exported_text
from tests.support.iam import ACCOUNT, NOW, Iam, open_iam

AUTHORITY = issue("Plant", is_authority=True, now=NOW)
OTHER = issue("Other", is_authority=True, now=NOW)
GONE = AUTHORITY.issue("web-1", now=NOW)
GONE_LIST = AUTHORITY.revoke(GONE, now=NOW).decode()
TAGS = [{"Key": "team", "Value": "plant"}]


def anchor(**changes: Any) -> dict[str, Any]:
    data = {"X509CertificateData": AUTHORITY.pem}
    source = {"SourceType": "CERTIFICATE_BUNDLE", "SourceData": data}
    return {
        "Name": "plant",
        "Region": "us-east-1",
        "Enabled": True,
        "Source": source,
        "Tags": TAGS,
        **changes,
    }


def profile(**changes: Any) -> dict[str, Any]:
    return {
        "Name": "machines",
        "Region": "us-east-1",
        "Enabled": True,
        "RoleArns": [f"arn:aws:iam::{ACCOUNT}:role/Machine"],
        "DurationSeconds": 900,
        "AcceptRoleSessionName": True,
        "SessionPolicy": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Action": "iam:*", "Resource": "*"}],
        },
        "AttributeMappings": [
            {"CertificateField": "x509Subject", "MappingRules": [{"Specifier": "CN"}]}
        ],
        "Tags": TAGS,
        **changes,
    }


def revoking(**changes: Any) -> dict[str, Any]:
    return {
        "Name": "gone",
        "Region": "us-east-1",
        "Enabled": True,
        "TrustAnchorName": "plant",
        "CrlData": GONE_LIST,
        "Tags": TAGS,
        **changes,
    }


ALL = {"TrustAnchors": [anchor()], "Profiles": [profile()], "Crls": [revoking()]}


async def apply(iam: Iam, described: Any, *, prune: bool = False) -> list[Change]:
    return await apply_template(
        yaml.safe_dump({"Accounts": {ACCOUNT: described}}, sort_keys=False),
        directory=iam.directory,
        context=TemplateContext(
            is_internal=lambda *_: False, sealer=iam.vault, home_region="us-east-1"
        ),
        operator="ops",
        now=iam.now,
        prune=prune,
    )


async def exported(iam: Iam) -> Any:
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    text = await exported_text(iam.directory, account)
    return yaml.safe_load(text)["Accounts"][ACCOUNT]


async def test_all_of_it_goes_in_and_comes_back(tmp_path: Path) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        assert len(await apply(iam, ALL)) == 3
        assert await apply(iam, ALL) == []
        described = await exported(iam)
        again = {name: described[name] for name in ALL}
        assert await apply(iam, again) == []
        (made,) = again["Profiles"]
        assert made.pop("SessionPolicy")
        wanted = profile()
        del wanted["SessionPolicy"]
        assert made == wanted
        (listed,) = again["Crls"]
        assert listed == {**revoking(), "CrlData": GONE_LIST.strip()}


async def test_changes_are_made_where_they_are(tmp_path: Path) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        await apply(iam, ALL)
        (before,) = await iam.directory.all_of(TRUST_ANCHOR, ACCOUNT)
        bundle = {"X509CertificateData": AUTHORITY.pem + OTHER.pem}
        changed = {
            "TrustAnchors": [
                anchor(
                    Enabled=False,
                    Source={"SourceType": "CERTIFICATE_BUNDLE", "SourceData": bundle},
                )
            ],
            "Profiles": [profile(DurationSeconds=1800, AttributeMappings=[])],
            "Crls": [revoking(CrlData=AUTHORITY.revoke(now=NOW).decode())],
        }
        assert len(await apply(iam, changed)) == 3
        assert await apply(iam, changed) == []
        (after,) = await iam.directory.all_of(TRUST_ANCHOR, ACCOUNT)
        assert (after.arn, after.enabled) == (before.arn, False)
        (made,) = await iam.directory.all_of(CERTIFICATE_PROFILE, ACCOUNT)
        assert (made.duration_seconds, made.attribute_mappings) == (1800, {})


async def test_without_mappings_a_profile_has_the_usual_ones(tmp_path: Path) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        plain = {"Name": "p", "RoleArns": [f"arn:aws:iam::{ACCOUNT}:role/M"]}
        await apply(iam, {"Profiles": [plain]})
        assert await apply(iam, {"Profiles": [plain]}) == []
        (made,) = await iam.directory.all_of(CERTIFICATE_PROFILE, ACCOUNT)
        assert set(made.attribute_mappings) == {"x509Issuer", "x509SAN", "x509Subject"}
        assert not made.enabled


async def test_what_is_not_listed_goes_with_prune_alone(tmp_path: Path) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        await apply(iam, ALL)
        nothing: dict[str, Any] = {name: [] for name in ALL}
        kept = await apply(iam, nothing)
        assert [str(change.kind) for change in kept] == ["!", "!", "!"]
        await apply(iam, nothing, prune=True)
        assert not await iam.directory.all_of(TRUST_ANCHOR, ACCOUNT)
        assert not await iam.directory.all_of(CERTIFICATE_PROFILE, ACCOUNT)
        assert not await iam.directory.all_of(CERTIFICATE_LIST, ACCOUNT)


async def test_a_list_stays_with_its_trust_anchor(tmp_path: Path) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        both = {"TrustAnchors": [anchor(), anchor(Name="second")], "Crls": [revoking()]}
        await apply(iam, both)
        moved = {**both, "Crls": [revoking(TrustAnchorName="second")]}
        with pytest.raises(TemplateError, match="of plant cannot become one of second"):
            await apply(iam, moved)


async def test_two_regions_have_names_of_their_own(tmp_path: Path) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        both = {"TrustAnchors": [anchor(), anchor(Region="eu-west-1")]}
        assert len(await apply(iam, both)) == 2
        assert await apply(iam, both) == []


def with_source(**data: Any) -> dict[str, Any]:
    return {"SourceType": "CERTIFICATE_BUNDLE", "SourceData": data}


@pytest.mark.parametrize(
    ("described", "place"),
    [
        ({"TrustAnchors": [anchor(), anchor()]}, "TrustAnchors"),
        ({"TrustAnchors": [anchor(Name="a/b")]}, "Name"),
        ({"TrustAnchors": [anchor(Region="EU west")]}, "Region"),
        ({"TrustAnchors": [anchor(Source=None)]}, "Source"),
        (
            {"TrustAnchors": [anchor(Source={"SourceType": "AWS_ACM_PCA"})]},
            "SourceType",
        ),
        (
            {
                "TrustAnchors": [
                    anchor(Source=with_source(X509CertificateData=GONE.pem))
                ]
            },
            "X509CertificateData",
        ),
        (
            {"TrustAnchors": [anchor(Source=with_source(AcmPcaArn="arn"))]},
            "X509CertificateData",
        ),
        ({"TrustAnchors": [anchor(NotificationSettings=[])]}, "NotificationSettings"),
        ({"Profiles": [profile(DurationSeconds=60)]}, "DurationSeconds"),
        ({"Profiles": [profile(SessionPolicy={"Version": "1"})]}, "SessionPolicy"),
        ({"Profiles": [profile(RequireInstanceProperties=True)]}, "RequireInstance"),
        ({"Profiles": [profile(RoleArns=["Machine"])]}, "Profiles[0].RoleArns.Mach"),
        (
            {
                "Profiles": [
                    profile(
                        AttributeMappings=[
                            {
                                "CertificateField": "x509Subject",
                                "MappingRules": [{"Specifier": "Nothing"}],
                            }
                        ]
                    )
                ]
            },
            "AttributeMappings[0]",
        ),
        ({"Crls": [revoking()]}, "no such trust anchor"),
        (
            {
                "TrustAnchors": [anchor()],
                "Crls": [
                    revoking(
                        CrlData=issue("Plant", is_authority=True, now=NOW)
                        .revoke(now=NOW)
                        .decode()
                    )
                ],
            },
            "Crls[0].CrlData: ",
        ),
        (
            {"TrustAnchors": [anchor()], "Crls": [revoking(CrlData="nothing")]},
            "Crls[0].CrlData: ",
        ),
    ],
    ids=lambda params: params if isinstance(params, str) else "",
)
async def test_a_mistake_is_named_by_its_place(
    tmp_path: Path, described: dict[str, Any], place: str
) -> None:
    async with open_iam(tmp_path / "iam.sqlite3") as iam:
        with pytest.raises(TemplateError) as refused:
            await apply(iam, described)
        assert place in str(refused.value)
        assert not await iam.directory.all_of(TRUST_ANCHOR, ACCOUNT)
