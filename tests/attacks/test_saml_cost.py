"""SAML-21, SAML-28: what a stranger's post may cost, counted in keys that are tried."""

import base64
import time
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from lxml import etree, html

from broker.model.account import Account, AccountId
from broker.model.entities import SamlProvider
from broker.proofs.saml_key_budget import FAILED_KEYS_MAX
from broker.protocols.saml import signature
from broker.protocols.saml.errors import SamlReason
from broker.protocols.saml.keys import SigningKey
from broker.protocols.saml.metadata import KEYS_MAX
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.effort import in_references
from tests.support.saml_check import idp, reason
from tests.support.saml_idp import (
    KeyPair,
    aws_attributes,
    build_response,
    encode,
    key_pair,
    metadata_xml,
    sign_element,
)
from tests.support.signin import SignInWorld, pair, role_arn

ACCOUNTS = [AccountId(f"{number:012d}") for number in range(500, 520)]
ECDSA = {"algorithm": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"}
ROLES = [pair("Reader", account) for account in ACCOUNTS]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that signatures were compared with, in order."""
    keys: list[bytes] = []
    verifies = SigningKey.verifies

    def counted(key: SigningKey, *signed: Any) -> bool:
        keys.append(key.spki)
        return verifies(key, *signed)

    monkeypatch.setattr(SigningKey, "verifies", counted)
    return keys


async def register(
    world: SignInWorld, account: AccountId, *keys: KeyPair, **metadata: Any
) -> None:
    """An account whose provider ``Corp`` has these keys and, mostly, one entity id."""
    now = world.clock.now()
    async with world.services.stores.directory.change(account) as change:
        await insert_account(
            change,
            Account(
                account_id=account,
                alias=None,
                session_salt=uuid.uuid4().bytes * 2,
                created_at=now,
            ),
        )
        await change.insert(
            SAML_PROVIDER,
            SamlProvider(
                account=account,
                uuid=f"SAMLSP{account}AAAA",
                name="Corp",
                metadata=metadata_xml(*keys, **metadata),
                created_at=now,
                valid_until=now + timedelta(days=365),
            ),
        )


async def post(world: SignInWorld, **knobs: Any) -> Any:
    response = world.response(*ROLES, **knobs)
    return await world.browser().post("/saml", data={"SAMLResponse": response})


PREFIXES = [f"p{number}" for number in range(16)]
MANY_PREFIXES: dict[str, Any] = {
    "signature": {"prefixes": " ".join(PREFIXES)},
    "response": {
        "namespaces": "".join(f' xmlns:{name}="urn:{name}"' for name in PREFIXES)
    },
}
VALUES = {"attributes": {"x": ["v"] * 1_500}}
ATTRIBUTES = {
    "attribute_xml": "<saml:Attribute Name='x'>"
    + "<saml:AttributeValue b='' c='' d=''/>" * 500
    + "</saml:Attribute>"
}


@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
@pytest.mark.parametrize("knobs", [MANY_PREFIXES | VALUES, MANY_PREFIXES | ATTRIBUTES])
def test_what_every_prefix_is_looked_for_in_is_bounded(
    sign: str, knobs: dict[str, Any], tried: list[bytes]
) -> None:
    hostile = build_response(sign=sign, signing_key=key_pair("stranger"), **knobs)
    assert reason(hostile, metadata=idp()) is SamlReason.TOO_COMPLEX
    assert not tried


@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
def test_no_number_of_keys_canonicalises_a_strangers_element(
    sign: str, tried: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    canonicalised: list[str] = []
    make_octets = signature._canonical_octets

    def counted(element: Any, how: Any) -> bytes:
        canonicalised.append(etree.QName(element).localname)
        return make_octets(element, how)

    monkeypatch.setattr(signature, "_canonical_octets", counted)
    metadata = idp(*(f"key-{number}" for number in range(KEYS_MAX)))
    hostile = build_response(sign=sign, signing_key=key_pair("stranger"), **VALUES)
    assert reason(hostile, metadata=metadata) is SamlReason.SIGNATURE_INVALID
    assert len(tried) == KEYS_MAX
    assert canonicalised == ["SignedInfo"]


def test_two_hundred_roles_and_ten_keys_are_not_too_much() -> None:
    names = [f"key-{number}" for number in range(KEYS_MAX)]
    response = build_response(
        sign="both",
        signing_key=key_pair(names[-1]),
        signature={"prefixes": "xs"},
        declare_xs=True,
        attributes=aws_attributes(role=[pair(f"Role{n}") for n in range(200)]),
    )
    assert reason(response, metadata=idp(*names)) is None


@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
async def test_keys_that_many_providers_share_are_tried_once(
    world: SignInWorld, tried: list[bytes], sign: str
) -> None:
    """One identity provider in twenty accounts; a stranger signs."""
    shared = [key_pair("shared-1"), key_pair("shared-2")]
    for account in ACCOUNTS:
        await register(world, account, *shared)
    page = await post(world, sign=sign, signing_key=key_pair("stranger"))
    assert page.status_code == 400
    assert len(tried) == len(shared)


async def test_of_many_providers_keys_only_a_few_are_tried(
    world: SignInWorld, tried: list[bytes]
) -> None:
    """Twenty tenants of one entity id, each with as many keys as there may be."""
    for number, account in enumerate(ACCOUNTS):
        keys = (key_pair(f"tenant-{number}-{n}", "p256") for n in range(KEYS_MAX))
        await register(world, account, *keys)
    stranger = key_pair("stranger-ec", "p256")
    page = await post(world, signing_key=stranger, signature=ECDSA)
    assert page.status_code == 400
    assert 1 <= len(tried) <= FAILED_KEYS_MAX + KEYS_MAX


async def test_providers_of_another_entity_id_are_not_tried(
    world: SignInWorld, tried: list[bytes]
) -> None:
    for number, account in enumerate(ACCOUNTS):
        entity_id = f"https://idp-{number}.example"
        await register(world, account, key_pair("shared-1"), entity_id=entity_id)
    page = await post(world, signing_key=key_pair("stranger"))
    assert page.status_code == 400
    assert tried == []


async def test_an_honest_response_opens_the_roles_of_every_account(
    world: SignInWorld, tried: list[bytes]
) -> None:
    """Old keys first, and one provider that nobody updated: still nobody is lost."""
    old, new = key_pair("old"), key_pair("new")
    await register(world, ACCOUNTS[0], old)
    for account in ACCOUNTS[1:]:
        await register(world, account, old, new)
    page = await post(world, signing_key=new)
    assert page.status_code == 200
    offered = html.fromstring(page.text).xpath("//input[@name='roleIndex']/@value")
    assert set(offered) == {role_arn("Reader", account) for account in ACCOUNTS[1:]}
    assert len(tried) == 1 + 2 * (len(ACCOUNTS) - 1)


async def test_who_has_more_keys_is_asked_after_who_has_fewer(
    world: SignInWorld,
) -> None:
    """Response and assertion signed with two keys: a failure blames neither alone."""
    entry, two = key_pair("old"), key_pair("new")
    await register(world, ACCOUNTS[0], entry)
    await register(world, ACCOUNTS[1], entry, two)
    root = etree.fromstring(base64.b64decode(world.response(*ROLES, signing_key=entry)))
    sign_element(root, two)
    page = await world.browser().post("/saml", data={"SAMLResponse": encode(root)})
    assert page.status_code == 303, page.text


HUGE = {
    "one text": {"x": ["y" * 68_000]},
    "many attributes": {f"a{number}": ["v"] for number in range(730)},
    "many values": {"x": ["v"] * 1500},
}


@pytest.mark.parametrize("case", HUGE)
async def test_a_hostile_document_of_full_size_is_refused_soon(
    world: SignInWorld, case: str
) -> None:
    """The best of several, since the machine has other things to do as well."""
    response = world.response(
        signing_key=key_pair("stranger"),
        attributes={
            "https://aws.amazon.com/SAML/Attributes/Role": [pair("Reader")],
            **HUGE[case],
        },
    )
    assert 70_000 < len(response) <= 100_000
    browser = world.browser()
    body = urlencode({"SAMLResponse": response}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    taken = []
    for _ in range(10):
        began = time.process_time()
        page = await browser.post("/saml", content=body, headers=headers)
        taken.append(time.process_time() - began)
        assert page.status_code == 400
    assert in_references(min(taken)) < 25
