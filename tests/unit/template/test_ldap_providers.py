"""LDAP providers in templates: the only way to make them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.cli.template import template_context
from broker.kinds.yaml_text import TemplateError
from broker.proofs.addresses import parse_internal_issuers
from broker.settings import Settings
from broker.stores.directory import kinds
from broker.stores.directory.kinds import LDAP_PROVIDER
from broker.template.apply import Change, apply_template
from tests.support.directory_world import write_directories
from tests.support.exported import exported_text
from tests.support.iam import ACCOUNT, Iam
from tests.support.rows import of_file

CORP = {
    "Name": "corp",
    "Directory": "corp",
    "Broker": {
        "SignIn": True,
        "GroupRoles": {"staff": [f"arn:aws:iam::{ACCOUNT}:role/Staff"]},
    },
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "password").write_text("secret")
    params = {
        "Kind": "OpenLDAP",
        "Servers": ["ldaps://ldap.example.com"],
        "BindDN": "cn=broker",
        "BindPasswordFile": "password",
        "Base": "dc=example",
    }
    path = write_directories(tmp_path, corp=params, other=params)
    return Settings(data_dir=tmp_path, directories_file=path)


async def apply(
    iam: Iam, settings: Settings, *providers: Any, prune: bool = False, **sections: Any
) -> list[Change]:
    whole = {"LDAPProviders": list(providers), **sections}
    return await apply_template(
        yaml.safe_dump({"Accounts": {ACCOUNT: whole}}),
        directory=iam.directory,
        context=template_context(settings),
        operator="ops",
        now=iam.now,
        prune=prune,
    )


async def test_a_provider_is_made_exported_changed_and_stays(
    iam: Iam, settings: Settings
) -> None:
    (made,) = await apply(iam, settings, CORP)
    assert f"{made.kind} {made.entity}" == "+ LDAP provider corp"
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    text = await exported_text(iam.directory, account)
    assert yaml.safe_load(text)["Accounts"][ACCOUNT]["LDAPProviders"] == [CORP]
    assert await apply(iam, settings, CORP) == []
    before = await iam.directory.named(LDAP_PROVIDER, ACCOUNT, "corp")
    (change,) = await apply(iam, settings, {**CORP, "Broker": {"SignIn": False}})
    assert "Broker.SignIn: True -> False" in change.details
    after = await iam.directory.named(LDAP_PROVIDER, ACCOUNT, "corp")
    assert before is not None
    assert after is not None
    assert after.unique_id == before.unique_id
    assert after.options == {"SignIn": False}
    await apply(iam, settings)
    assert await iam.directory.all_of(LDAP_PROVIDER, ACCOUNT)
    await apply(iam, settings, prune=True)
    assert not await iam.directory.all_of(LDAP_PROVIDER, ACCOUNT)
    revocations = await iam.directory.revocations(ACCOUNT)
    assert after.arn in revocations.not_before_ms


WRONG = of_file(__file__, "WRONG")


@pytest.mark.parametrize("case", WRONG)
async def test_what_will_not_do_is_refused(
    iam: Iam, settings: Settings, case: str
) -> None:
    more, words = WRONG[case]
    with pytest.raises(TemplateError) as refused:
        await apply(iam, settings, {**CORP, **more})
    assert words in str(refused.value)
    assert not await iam.directory.all_of(LDAP_PROVIDER, ACCOUNT)


async def test_a_provider_stays_with_its_directory(
    iam: Iam, settings: Settings
) -> None:
    """In another one, a subject would be somebody else."""
    await apply(iam, settings, CORP)
    with pytest.raises(TemplateError, match="other people"):
        await apply(iam, settings, {**CORP, "Directory": "other"})


async def test_there_are_twenty_at_most(iam: Iam, settings: Settings) -> None:
    many = [{**CORP, "Name": f"corp{number}"} for number in range(21)]
    with pytest.raises(TemplateError, match="LDAPProvidersPerAccount: 20"):
        await apply(iam, settings, *many)
    assert len(await apply(iam, settings, *many[:20])) == 20


@pytest.mark.parametrize("is_first", [True, False])
async def test_no_issuer_has_the_keys_of_a_directory(
    iam: Iam, settings: Settings, is_first: bool
) -> None:
    """``corp:sub`` is one of them, of whichever was there first."""
    settings = settings.model_copy(
        update={"internal_issuers": parse_internal_issuers("corp:80")}
    )
    issuer = {"Url": "http://corp", "ClientIdList": ["x"]}
    if is_first:
        await apply(iam, settings, OIDCProviders=[issuer])
    with pytest.raises(TemplateError, match="already exists"):
        await apply(iam, settings, CORP, OIDCProviders=[issuer])
    if not is_first:
        await apply(iam, settings, CORP)
        with pytest.raises(TemplateError, match="already exists"):
            await apply(iam, settings, CORP, OIDCProviders=[issuer])
