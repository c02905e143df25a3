"""python3-saml and xmlsec1 on the same responses: where we accept, both do."""

import base64
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from broker.protocols.saml.errors import SamlReason as R
from tests.support.rows import of_file
from tests.support.saml_check import reason
from tests.support.saml_idp import (
    ACS,
    AUDIENCE,
    ENTITY_ID,
    MORE,
    XENC,
    build_response,
    key_pair,
    saml_time,
)

CORPUS: dict[str, tuple[dict[str, Any], bool]] = {
    "assertion": ({}, True),
    "response": ({"sign": "response"}, True),
    "both": ({"sign": "both"}, True),
    "sha512": (
        {"signature": {"algorithm": MORE + "rsa-sha512", "digest": XENC + "sha512"}},
        True,
    ),
    "typed values": ({"declare_xs": True}, True),
    "none": ({"sign": "none"}, False),
    "foreign key": ({"signing_key": key_pair("attacker")}, False),
    "other audience": ({"audience": "urn:other"}, False),
    "other issuer": ({"issuer": "https://other.example"}, False),
    "expired": (
        {"not_on_or_after": saml_time(datetime(2020, 1, 1, tzinfo=UTC))},
        False,
    ),
    "status": (
        {"response": {"status": "urn:oasis:names:tc:SAML:2.0:status:Responder"}},
        False,
    ),
    "no authn statement": ({"authn_statement": ""}, False),
}

KNOWN_FAULTS = of_file(__file__, "KNOWN_FAULTS", globals())


def _oracle(response: str) -> bool:
    settings = OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {"entityId": AUDIENCE, "assertionConsumerService": {"url": ACS}},
            "idp": {
                "entityId": ENTITY_ID,
                "singleSignOnService": {"url": "https://idp.example.com/sso"},
                "x509cert": key_pair().certificate_base64,
            },
        }
    )
    request = {
        "https": "off",
        "http_host": "127.0.0.1:8080",
        "script_name": "/saml",
        "get_data": {},
        "post_data": {},
    }
    judged = OneLogin_Saml2_Response(settings, response)
    accepted = bool(judged.is_valid(request))
    print(judged.get_error())  # noqa: T201  # shown when a test fails
    return accepted


def _xmlsec1(response: str, tmp_path: Path) -> bool:
    (tmp_path / "response.xml").write_bytes(base64.b64decode(response))
    (tmp_path / "certificate.pem").write_bytes(key_pair().certificate_pem)
    done = subprocess.run(
        [
            "xmlsec1",
            "--verify",
            "--pubkey-cert-pem",
            tmp_path / "certificate.pem",
            "--id-attr:ID",
            "urn:oasis:names:tc:SAML:2.0:assertion:Assertion",
            "--id-attr:ID",
            "urn:oasis:names:tc:SAML:2.0:protocol:Response",
            tmp_path / "response.xml",
        ],
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


@pytest.mark.parametrize(("knobs", "accepted"), CORPUS.values(), ids=CORPUS.keys())
def test_we_agree_with_the_oracles(
    knobs: dict[str, Any], accepted: bool, tmp_path: Path
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    response = build_response(now=now, **knobs)
    assert (reason(response, now=now) is None) is accepted
    assert _oracle(response) is accepted
    if accepted:
        assert _xmlsec1(response, tmp_path)


@pytest.mark.parametrize(
    ("knobs", "why"), KNOWN_FAULTS.values(), ids=KNOWN_FAULTS.keys()
)
def test_we_refuse_what_python3_saml_lets_through(
    knobs: dict[str, Any], why: R
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    response = build_response(now=now, **knobs)
    assert reason(response, now=now) is why
    assert _oracle(response)
