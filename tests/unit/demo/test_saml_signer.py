"""The demo identity provider signs what the broker accepts."""

import stat
from datetime import timedelta
from pathlib import Path

from broker.demo.saml_signer import DemoSamlSigner, SamlPerson
from tests.support.saml_idp import ACS, AUDIENCE, NOW, PROVIDER_ARN, ROLE_ARN
from tests.support.saml_proof import prove, saml_provider


def _open(folder: Path) -> DemoSamlSigner:
    return DemoSamlSigner.open(
        folder,
        entity_id="http://localhost:8081/metadata",
        sso_url="http://localhost:8081/sso",
        now=NOW,
    )


def test_a_demo_response_proves_the_person(tmp_path: Path) -> None:
    signer = _open(tmp_path / "idp")
    assert len(signer.metadata()) >= 1000
    person = SamlPerson(
        name_id="alice & <bob>",
        session_name="alice@example.com",
        roles=[f"{ROLE_ARN},{PROVIDER_ARN}"],
        session_duration_seconds=3600,
        source_identity="alice",
        tags={"Team": "blue"},
        transitive_keys=["Team"],
        attributes={"urn:oid:2.5.4.3": ["Alice"]},
    )
    provider = saml_provider(metadata=signer.metadata())
    responses = [
        signer.signed_response(person, recipient=ACS, audience=AUDIENCE, now=NOW)
        for _ in range(2)
    ]
    first, second = (prove(text, provider=provider) for text in responses)
    assert first.subject == "alice & <bob>"
    assert first.tags == {"Team": "blue"}
    assert first.context["saml:cn"] == ("Alice",)
    assert first.replay_id != second.replay_id


def test_the_key_stays_with_its_folder_and_its_owner(tmp_path: Path) -> None:
    first, again = _open(tmp_path), _open(tmp_path)
    assert first.metadata() == again.metadata()
    assert _open(tmp_path / "other").metadata() != first.metadata()
    mode = (tmp_path / "saml-signing-key.pem").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_request_is_answered_in_both_places(tmp_path: Path) -> None:
    signer = _open(tmp_path)
    person = SamlPerson(name_id="a", session_name="ab", roles=[])
    response = signer.signed_response(
        person, recipient=ACS, audience=AUDIENCE, now=NOW, in_response_to="_req"
    )
    provider = saml_provider(metadata=signer.metadata())
    proved = prove(
        response,
        provider=provider,
        now=NOW + timedelta(minutes=4),
        in_response_to=frozenset({"_req"}),
    )
    assert proved.subject == "a"
