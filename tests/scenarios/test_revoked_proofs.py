"""What a provider issued before its person was revoked opens nothing more, at any door."""

import json
import time
import uuid
from typing import Any

import httpx2
import pytest
from botocore.exceptions import ClientError

from broker.protocols.oidc.logout import EVENT
from tests.scenarios.installation import (
    CLIENT_ID,
    READER,
    SAML_PROVIDER,
    Installation,
)
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, Key
from tests.support.signin import BROWSER

PROMISED_SECONDS = 1.1
"""Within a second every worker knows; and then the second of the mark is over."""


class Person:
    """Someone of the OpenID Connect or the SAML provider, and what they can present."""

    def __init__(self, installation: Installation, kind: str, subject: str) -> None:
        self.installation = installation
        self.kind = kind
        self.subject = subject
        is_saml = kind == "saml"
        self.issuer = saml_idp.ENTITY_ID if is_saml else installation.issuer.issuer.url

    def proof(self, **more: Any) -> str:
        if self.kind == "saml":
            return self.installation.assertion(subject=self.subject, **more)
        return self.installation.issuer.issuer.token(sub=self.subject, **more)

    def exchange(self, proof: str) -> str:
        """``ok`` or the error's code, at STS."""
        try:
            if self.kind == "saml":
                self.installation.saml(proof)
            else:
                self.installation.web_identity(WebIdentityToken=proof)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    def revoke(self, *words: str) -> str:
        named = ("--issuer", self.issuer, "--subject", self.subject)
        text = self.installation.broker.command(
            "sessions", "revoke", ACCOUNT, *named, *words
        )
        time.sleep(PROMISED_SECONDS)
        return text


@pytest.fixture(params=["oidc", "saml"])
def person(request: pytest.FixtureRequest, installation: Installation) -> Person:
    return Person(installation, request.param, f"{request.param}-{uuid.uuid4().hex}")


def test_what_was_issued_before_opens_nothing_and_a_new_sign_in_does(
    person: Person,
) -> None:
    stranger = Person(person.installation, person.kind, "somebody-else")
    old, of_stranger = [person.proof() for _ in range(2)], stranger.proof()
    assert person.exchange(person.proof()) == "ok"
    person.revoke()
    assert [person.exchange(proof) for proof in old] == ["ExpiredTokenException"] * 2
    assert person.exchange(person.proof()) == "ok"
    assert stranger.exchange(of_stranger) == "ok"
    why = person.installation.broker.command("audit", "--json", "--outcome", "refused")
    assert "revoked: it was issued at" in why


def test_the_pages_refuse_it_too(installation: Installation) -> None:
    person = Person(installation, "saml", "at-the-pages")
    one, several = (
        person.proof(
            attributes=saml_idp.aws_attributes(
                role=[f"{role},{SAML_PROVIDER}" for role in roles]
            )
        )
        for roles in ((READER,), (READER, READER.replace("team/Reader", "Admin")))
    )
    person.revoke()
    for response in (one, several):
        for relay in ("", f"/portal/{ACCOUNT}"):
            page = httpx2.post(
                f"{installation.broker.url}/saml",
                data={"SAMLResponse": response, "RelayState": relay},
                headers=BROWSER,
            )
            assert (page.status_code, "Sign in there again" in page.text) == (400, True)


def test_who_is_barred_is_refused_until_it_is_lifted(person: Person) -> None:
    broker = person.installation.broker
    old = person.proof()
    assert "barred" in person.revoke("--bar", "--reason", "under investigation")
    listed = broker.command(
        "sessions", "list", "--account", ACCOUNT, "--barred", "--json"
    )
    rows = [json.loads(line) for line in listed.splitlines()]
    assert {
        "issuer": person.issuer,
        "subject": person.subject,
        "reason": "under investigation",
    } in rows
    assert person.subject in broker.command(
        "sessions", "list", "--account", ACCOUNT, "--barred"
    )
    during = person.proof()
    for proof in (old, during):
        assert person.exchange(proof) == "IDPRejectedClaim"
    person.revoke()  # narrows nothing
    assert person.exchange(during) == "IDPRejectedClaim"
    person.revoke("--lift")
    assert person.subject not in broker.command(
        "sessions", "list", "--account", ACCOUNT, "--barred"
    )
    for proof in (old, during):
        assert person.exchange(proof) == "ExpiredTokenException"
    assert person.exchange(person.proof()) == "ok"


def test_a_logout_by_session_id_ends_what_sts_gave(installation: Installation) -> None:
    broker = installation.broker
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{installation.issuer.host_and_path}"
    broker.command("providers", "set", arn, f"ClientId={CLIENT_ID}")
    alice = Person(installation, "oidc", "alice")
    session, other = uuid.uuid4().hex, uuid.uuid4().hex
    tokens = {sid: alice.proof(sid=sid) for sid in (session, other)}
    keys = {
        sid: Key.of(installation.web_identity(WebIdentityToken=token)["Credentials"])
        for sid, token in tokens.items()
    }
    tell(installation, sid=session)
    time.sleep(PROMISED_SECONDS)
    assert outcome(installation, keys[session]) == "ExpiredToken"
    assert alice.exchange(tokens[session]) == "ExpiredTokenException"
    assert outcome(installation, keys[other]) == "ok"
    assert alice.exchange(tokens[other]) == "ok"

    tell(installation, sub="alice")
    time.sleep(PROMISED_SECONDS)
    assert outcome(installation, keys[other]) == "ExpiredToken"
    assert alice.exchange(tokens[other]) == "ExpiredTokenException"
    assert alice.exchange(alice.proof(sid=uuid.uuid4().hex)) == "ok"


def tell(installation: Installation, **claims: str) -> None:
    """The provider tells of a logout."""
    url = installation.broker.url
    page = httpx2.get(f"{url}/signin/{ACCOUNT}", headers=BROWSER).text
    start = f"/signin/{ACCOUNT}/with/"
    provider = page.partition(start)[2].partition('"')[0]
    now = int(time.time())
    token = installation.issuer.issuer.token(
        header={"typ": "logout+jwt"},
        drop=() if "sub" in claims else ("sub",),
        jti=uuid.uuid4().hex,
        events={EVENT: {}},
        exp=now + 120,
        **claims,
    )
    answer = httpx2.post(
        f"{url}{start}{provider}/backchannel-logout",
        data={"logout_token": token},
    )
    assert answer.status_code == 200, answer.text


def outcome(installation: Installation, key: Key) -> str:
    try:
        installation.broker.client("sts", key).get_caller_identity()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"
