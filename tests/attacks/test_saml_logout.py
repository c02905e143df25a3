"""Logout requests: only what a provider's key signed, for us, now, counts."""

import base64
import re
import zlib
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.errors import SamlReason, SamlRejected
from broker.protocols.saml.logout import (
    LogoutExpectations,
    LogoutRequest,
    verify_posted_logout,
    verify_redirected_logout,
)
from broker.protocols.saml.metadata import parse_metadata
from tests.support.saml_idp import ENTITY_ID, PERSISTENT, key_pair, metadata_xml
from tests.support.saml_logout import (
    RSA_SHA1,
    SAML,
    logout_request_xml,
    posted,
    redirected,
)

URL = "https://broker.example/saml/slo/SAMLSP1"
NOW = datetime.now(UTC).replace(microsecond=0)
IDP = parse_metadata(metadata_xml(key_pair()), now=None)
EC_KEY = key_pair("ec", "p256")
EC_IDP = parse_metadata(metadata_xml(EC_KEY), now=None)
MGF1 = "http://www.w3.org/2007/05/xmldsig-more%23sha256-rsa-MGF1"
ECDSA = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
STRANGER = key_pair("stranger")


def expected(**policy: bool) -> LogoutExpectations:
    return LogoutExpectations(
        destination=URL,
        now=NOW,
        skew=timedelta(seconds=60),
        policy=AlgorithmPolicy(**policy),
    )


def by_post(message: str, **policy: bool) -> LogoutRequest:
    return verify_posted_logout(message, idp=IDP, expected=expected(**policy))


def by_redirect(query: str, **policy: bool) -> LogoutRequest:
    return verify_redirected_logout(
        query.encode(), idp=IDP, expected=expected(**policy)
    )


def both(xml: str) -> list[SamlReason]:
    """Why both bindings refuse a message that is signed all right."""
    reasons = []
    for verify, message in ((by_post, posted(xml)), (by_redirect, redirected(xml))):
        with pytest.raises(SamlRejected) as caught:
            verify(message)
        reasons.append(caught.value.reason)
    return reasons


@pytest.mark.parametrize("indexes", [(), ("_s1",), ("a", "b")])
def test_a_signed_request_says_whose_sessions_are_over(
    indexes: tuple[str, ...],
) -> None:
    xml = logout_request_xml(URL, now=NOW, indexes=indexes, request_id="_r1")
    for request in (
        by_post(posted(xml)),
        by_redirect(redirected(xml, relay="a b&c=d")),
    ):
        assert (request.request_id, request.issuer) == ("_r1", ENTITY_ID)
        assert (request.name_id, request.session_indexes) == ("alice", indexes)
        assert request.issued_at == NOW
        assert request.good_until == NOW + timedelta(minutes=7)


def test_without_an_end_a_request_lasts_five_minutes() -> None:
    xml = logout_request_xml(URL, now=NOW - timedelta(minutes=7), lasts=None)
    assert both(xml) == [SamlReason.EXPIRED] * 2
    long = timedelta(days=1)
    xml = logout_request_xml(URL, now=NOW - timedelta(minutes=7), lasts=long)
    assert both(xml) == [SamlReason.EXPIRED] * 2


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"now": NOW + timedelta(minutes=2)}, SamlReason.NOT_YET_VALID),
        ({"now": NOW - timedelta(minutes=3), "lasts": timedelta(minutes=1)}, "expired"),
        ({"issuer": "https://other.example"}, SamlReason.ISSUER_UNKNOWN),
        ({"name_id": ""}, SamlReason.SUBJECT),
        ({"name_id": "x" * 1025}, SamlReason.SUBJECT),
        ({"inside": "<saml:NameID>bob</saml:NameID>"}, SamlReason.SUBJECT),
        ({"inside": f'<saml:BaseID xmlns:saml="{SAML}"/>'}, SamlReason.STRUCTURE),
        ({"indexes": ["i"] * 17}, SamlReason.SUBJECT),
        ({"indexes": [""]}, SamlReason.SUBJECT),
        ({"version": "1.1"}, SamlReason.STRUCTURE),
        ({"inside": "<saml:Issuer>x</saml:Issuer>"}, SamlReason.ISSUER_MISMATCH),
        ({"request_id": "1"}, SamlReason.IDS),
    ],
)
def test_what_a_signed_request_must_say(
    given: dict[str, object], reason: SamlReason | str
) -> None:
    xml = logout_request_xml(URL, **{"now": NOW, **given})  # type: ignore[arg-type]
    assert both(xml) == [reason] * 2


@pytest.mark.parametrize("destination", [None, "", f"{URL}x", "https://x.example/slo"])
def test_it_must_be_for_us(destination: str | None) -> None:
    xml = logout_request_xml(destination, now=NOW)
    assert both(xml) == [SamlReason.DESTINATION_WRONG] * 2


def test_without_a_signature_nothing_counts() -> None:
    xml = logout_request_xml(URL, now=NOW)
    with pytest.raises(SamlRejected, match="unsigned"):
        by_post(base64.b64encode(xml.encode()).decode())
    with pytest.raises(SamlRejected, match="unsigned"):
        by_redirect(redirected(xml, signed=False))


def test_another_key_proves_nothing() -> None:
    xml = logout_request_xml(URL, now=NOW)
    with pytest.raises(SamlRejected, match="signature-invalid"):
        by_post(posted(xml, STRANGER))
    with pytest.raises(SamlRejected, match="signature-invalid"):
        by_redirect(redirected(xml, STRANGER))


def test_sha_1_counts_only_where_the_operator_says_so() -> None:
    xml = logout_request_xml(URL, now=NOW)
    query = redirected(xml, algorithm=RSA_SHA1)
    with pytest.raises(SamlRejected, match="algorithm-not-allowed"):
        by_redirect(query)
    assert by_redirect(query, allow_sha1=True)


def test_what_is_signed_is_what_is_read() -> None:
    """A second message, a changed RelayState, and a changed body are refused."""
    xml = logout_request_xml(URL, now=NOW)
    query = redirected(xml, relay="there")
    other = redirected(logout_request_xml(URL, now=NOW, name_id="bob"), signed=False)
    for forged in (
        f"{query}&{other}",
        f"{other}&{query}",
        query.replace("RelayState=there", "RelayState=elsewhere"),
        query.replace("RelayState=there&", ""),
        f"{other}&{query.partition('&')[2]}",
    ):
        with pytest.raises(SamlRejected):
            by_redirect(forged)
    signed = base64.b64decode(posted(xml)).decode()
    for forged in (
        signed.replace(">alice<", ">bob<"),
        signed.replace(
            "</samlp:LogoutRequest>",
            "<saml:NameID>bob</saml:NameID></samlp:LogoutRequest>",
        ),
    ):
        assert forged != signed
        with pytest.raises(SamlRejected, match="signature-invalid"):
            by_post(base64.b64encode(forged.encode()).decode())


def test_a_wrapped_request_is_not_read() -> None:
    signed = base64.b64decode(posted(logout_request_xml(URL, now=NOW))).decode()
    body = signed[signed.index("<samlp:LogoutRequest") :]
    evil = logout_request_xml(URL, now=NOW, name_id="bob", request_id="_evil")
    outer = evil.replace("</samlp:LogoutRequest>", f"{body}</samlp:LogoutRequest>")
    with pytest.raises(SamlRejected):
        by_post(base64.b64encode(outer.encode()).decode())
    signature = body[body.index("<ds:Signature") : body.index("</ds:Signature>") + 15]
    moved = evil.replace("</saml:Issuer>", f"</saml:Issuer>{signature}", 1)
    with pytest.raises(SamlRejected):
        by_post(base64.b64encode(moved.encode()).decode())


def test_a_comment_does_not_cut_a_name() -> None:
    xml = logout_request_xml(URL, now=NOW, name_id="alice<!-- -->@evil.example")
    with pytest.raises(SamlRejected, match="split-text"):
        by_redirect(redirected(xml))


def test_an_elliptic_key_signs_a_query() -> None:
    """XML Signature's form: r and s side by side."""
    unsigned = redirected(logout_request_xml(URL, now=NOW), signed=False)
    query = f"{unsigned}&{urlencode({'SigAlg': ECDSA})}"
    der = load_pem_private_key(EC_KEY.private_pem, None).sign(  # type: ignore[call-arg, union-attr]
        query.encode(), ec.ECDSA(hashes.SHA256())
    )
    pair = b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(der))
    for signature, good in ((pair, True), (der, False), (pair[:-1], False)):
        signed = urlencode({"Signature": base64.b64encode(signature).decode()})
        values = f"{query}&{signed}".encode()
        if good:
            assert verify_redirected_logout(values, idp=EC_IDP, expected=expected())
        else:
            with pytest.raises(SamlRejected, match="signature-invalid"):
                verify_redirected_logout(values, idp=EC_IDP, expected=expected())


def test_another_message_of_the_provider_is_refused() -> None:
    xml = logout_request_xml(URL, now=NOW)
    other = xml.replace("LogoutRequest", "ManageNameIDRequest")
    assert both(other) == [SamlReason.STRUCTURE] * 2
    other = xml.replace("<saml:Issuer>", f'<saml:Issuer Format="{PERSISTENT}">')
    assert both(other) == [SamlReason.STRUCTURE] * 2


def test_a_redirect_has_one_signature_and_one_encoding() -> None:
    xml = logout_request_xml(URL, now=NOW)
    query = redirected(xml)
    inner = base64.b64decode(posted(xml)).decode()
    for text, reason in (
        (f"{query}&SAMLEncoding=urn:other", SamlReason.STRUCTURE),
        (redirected(inner), SamlReason.SIGNATURE_STRUCTURE),
        (redirected(xml, tail=b"more"), SamlReason.TOO_LARGE),
        (query.partition("&Signature=")[0], SamlReason.UNSIGNED),
        (query.replace("&SigAlg=", "&sigalg="), SamlReason.UNSIGNED),
        (query.replace("rsa-sha256", "rsa-md5"), SamlReason.ALGORITHM_NOT_ALLOWED),
        (re.sub("SigAlg=[^&]+", f"SigAlg={MGF1}", query), SamlReason.SIGNATURE_INVALID),
    ):
        with pytest.raises(SamlRejected) as caught:
            by_redirect(text)
        assert caught.value.reason == reason, text
    deflated = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
    assert by_redirect(f"{query}&SAMLEncoding={deflated}")


def test_a_bomb_is_not_inflated() -> None:
    deflater = zlib.compressobj(wbits=-15)
    packed = deflater.compress(b" " * 10_000_000) + deflater.flush()
    query = urlencode({"SAMLRequest": base64.b64encode(packed).decode()})
    with pytest.raises(SamlRejected, match="too-large"):
        by_redirect(query)


@pytest.mark.parametrize(
    "query", ["", "SAMLRequest", "SAMLRequest=%00", "SAMLRequest=é"]
)
def test_a_malformed_message_is_refused(query: str) -> None:
    with pytest.raises(SamlRejected):
        by_redirect(query)
    with pytest.raises(SamlRejected):
        by_post(query)


def test_the_query_is_taken_as_it_was_encoded() -> None:
    """Lower-case escapes and %20 are as good; it is their octets that were signed."""
    query = redirected(logout_request_xml(URL, now=NOW))
    assert by_redirect(query)
    assert dict(parse_qsl(query)) == dict(parse_qsl(query.replace("%2B", "%2b")))
    if "%2B" in query:
        with pytest.raises(SamlRejected, match="signature-invalid"):
            by_redirect(query.replace("%2B", "%2b", 1))
