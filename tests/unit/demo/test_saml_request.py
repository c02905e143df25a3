"""The demo's identity provider reads what it is asked, and answers nowhere else."""

import base64
import zlib
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from broker.demo.saml_request import AuthnRequestDetails, RequestError, read_request
from broker.protocols.saml.authn_request import authn_request, redirect_url
from tests.support.saml_idp import NOW, key_pair

SSO = "http://localhost:8081/saml/sso"
ACS = "http://127.0.0.1:8080/saml"
OWN = f"{ACS}/acs/SAMLSPABC"


def request(consumer_url: str = OWN, request_id: str = "_abc") -> str:
    return authn_request(
        request_id=request_id,
        issued=NOW,
        issuer=ACS,
        destination=SSO,
        consumer_url=consumer_url,
    )


def posted(document: str) -> str:
    return base64.b64encode(document.encode()).decode()


def test_what_the_broker_sends_is_read() -> None:
    key = load_pem_private_key(key_pair().private_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    url = redirect_url(SSO, request(), key, "/console/audit")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    asked = read_request(
        query["SAMLRequest"], query["RelayState"], deflated=True, acs=ACS
    )
    assert asked == AuthnRequestDetails(OWN, "_abc", "/console/audit")
    assert read_request(
        posted(request()), "", deflated=False, acs=ACS
    ) == AuthnRequestDetails(OWN, "_abc")
    silent = request().replace(f' AssertionConsumerServiceURL="{OWN}"', "")
    assert read_request(
        posted(silent), "", deflated=False, acs=ACS
    ) == AuthnRequestDetails(ACS, "_abc")


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "%%%",
        posted("<a"),
        posted("<AuthnRequest ID='_a'/>"),
        posted(request(request_id="")),
        posted(request(request_id='"><b>')),
        posted(request("http://evil.example/saml")),
        posted(request(f"{ACS}@evil.example")),
        posted(request(f"{ACS}/acs/../../console")),
        posted("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>"),
    ],
)
def test_nothing_else_is_answered(encoded: str) -> None:
    with pytest.raises(RequestError):
        read_request(encoded, "", deflated=False, acs=ACS)


@pytest.mark.parametrize("document", [b"<a>" + b" " * 100_000, b"<a/>"])
def test_what_unpacks_to_too_much_or_to_nothing_is_refused(document: bytes) -> None:
    packed = zlib.compress(document, wbits=-15)
    for cut in (packed, packed[:-1]):
        with pytest.raises(RequestError):
            read_request(base64.b64encode(cut).decode(), "", deflated=True, acs=ACS)
