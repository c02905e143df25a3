import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from broker.demo.oidc_signer import KEY_FILE, load_oidc_signer
from broker.protocols.oidc.discovery import parse_discovery
from broker.protocols.oidc.jwks import parse_jwks
from tests.support.oidc_issuer import OidcIssuer
from tests.support.oidc_verdict import accepted

URL = "http://localhost:8081/oidc"


def test_a_folder_keeps_its_key(tmp_path: Path) -> None:
    first, again = load_oidc_signer(tmp_path, URL), load_oidc_signer(tmp_path, URL)
    assert first.kid == again.kid
    assert first.jwks() == again.jwks()
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert "key" not in repr(first).replace("kid", "").partition("(")[2]


def test_its_tokens_and_documents_verify_each_other(tmp_path: Path) -> None:
    signer = load_oidc_signer(tmp_path, URL)
    token = signer.sign_id_token(
        subject="alice", audience="demo", now=datetime.now(UTC)
    )
    verified = accepted(
        token,
        OidcIssuer(URL),
        keys=parse_jwks(json.dumps(signer.jwks()).encode()),
        client_ids=("demo",),
    )
    assert verified.subject == "alice"
    independent = jwt.decode(token, KeySet.import_key_set(signer.jwks()))
    assert independent.claims["sub"] == "alice"
    discovery = parse_discovery(json.dumps(signer.discovery()).encode(), URL)
    assert discovery.jwks_uri == f"{URL}/jwks"


def test_a_file_that_holds_another_key_is_named(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    from tests.support.oidc_issuer import make_key

    pem = make_key("ES256").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / KEY_FILE).write_bytes(pem)
    with pytest.raises(TypeError, match=KEY_FILE):
        load_oidc_signer(tmp_path, URL)
