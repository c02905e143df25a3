import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec.structs import replace

from broker.kinds.outbound import (
    OPTION,
    PUBLISHED_AFTER,
    PUBLISHED_BEFORE,
    Algorithm,
    Outbound,
    find_outbound,
    first_keys,
    key_set,
    reseal,
    rotate,
    sign,
    with_outbound,
)
from broker.model.account import Account, AccountId
from broker.sessions.vault import SealBrokenError

ACCOUNT = AccountId("123456789012")
NOW = datetime(2026, 9, 11, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
_PUBLISHED = {"kty", "n", "e", "crv", "x", "y", "kid", "use", "alg", "x5c"}


class Sealer:
    """Seals with a mark of its place; no cryptography."""

    def __init__(self) -> None:
        self.generation = b"1"

    def seal(
        self, purpose: str, account: str, entity_id: str, column: str, plaintext: bytes
    ) -> bytes:
        place = f"{purpose}|{account}|{entity_id}|{column}".encode()
        return self.generation + place + b"\0" + plaintext

    def open_sealed(
        self, purpose: str, account: str, entity_id: str, column: str, sealed: bytes
    ) -> bytes:
        place, _, plain = sealed[1:].partition(b"\0")
        assert place == f"{purpose}|{account}|{entity_id}|{column}".encode()
        return plain

    def needs_resealing(self, sealed: bytes) -> bool:
        return sealed[:1] != self.generation


@pytest.fixture(scope="module")
def first() -> Outbound:
    return Outbound(enabled=True, keys=first_keys(ACCOUNT, Sealer(), NOW))


def kids(outbound: Outbound, now: datetime) -> set[str]:
    return {key.kid for key in outbound.published(now)}


def test_first_keys_sign_at_once_and_verify_with_what_is_published(
    first: Outbound,
) -> None:
    jwks = jwt.PyJWKSet.from_dict(key_set(first.published(NOW)))
    for algorithm in Algorithm:
        key = first.find_signing(algorithm, NOW)
        assert key is not None
        token = sign(ACCOUNT, key, Sealer(), {"a": 1})
        assert jwt.decode(token, jwks[key.kid], [algorithm.value]) == {"a": 1}


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_sealed_key_that_opens_no_more_signs_no_more(
    first: Outbound, algorithm: Algorithm
) -> None:
    class Closed(Sealer):
        def open_sealed(self, *_: object) -> bytes:
            raise SealBrokenError

    key = first.find_signing(algorithm, NOW)
    assert key is not None
    sign(ACCOUNT, key, Sealer(), {"a": 1})
    with pytest.raises(SealBrokenError):
        sign(ACCOUNT, key, Closed(), {"a": 1})


def test_only_public_members_are_published(first: Outbound) -> None:
    published = key_set(first.published(NOW))["keys"]
    assert isinstance(published, list)
    for key in published:
        assert set(key) <= _PUBLISHED


def certificates(outbound: Outbound) -> dict[str, x509.Certificate]:
    """The published ones, by key id; each is alone in its chain."""
    jwks: Any = json.loads(json.dumps(key_set(outbound.published(NOW))))
    results = {}
    for key in jwks["keys"]:
        (text,) = key["x5c"]
        results[key["kid"]] = x509.load_der_x509_certificate(base64.b64decode(text))
    return results


def test_each_key_is_published_with_a_certificate_of_that_very_key(
    first: Outbound,
) -> None:
    results = certificates(first)
    assert set(results) == {"RSA_0", "EC384_0"}
    for key in first.keys:
        certificate = results[key.kid]
        token = sign(ACCOUNT, key, Sealer(), {"a": 1})
        # As verifiers do that look only at the certificate.
        public = certificate.public_key()
        assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        assert jwt.decode(token, public, [key.algorithm.value]) == {"a": 1}
        certificate.verify_directly_issued_by(certificate)
        assert certificate.subject.rfc4514_string() == f"CN={key.kid},O={ACCOUNT}"


def test_a_certificate_signs_and_never_runs_out_before_its_key(first: Outbound) -> None:
    for certificate in certificates(first).values():
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert usage.digital_signature
        assert not usage.key_cert_sign
        constraints = certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        )
        assert not constraints.value.ca
        assert certificate.not_valid_before_utc <= NOW - timedelta(minutes=5)
        # RFC 5280, 4.1.2.5: no well-defined expiration date.
        assert certificate.not_valid_after_utc.year == 9999


def test_a_certificate_stays_the_same_and_ends_with_its_key(first: Outbound) -> None:
    before = certificates(first)
    rotated = rotate(ACCOUNT, first, Sealer(), NOW)
    both = certificates(rotated)
    assert both["RSA_0"] == before["RSA_0"]
    fresh = both["RSA_1"]
    assert fresh.public_key() != before["RSA_0"].public_key()
    assert fresh.not_valid_before_utc < NOW  # it is valid before its key signs
    later = NOW + PUBLISHED_BEFORE + PUBLISHED_AFTER
    jwks = jwt.PyJWKSet.from_dict(key_set(rotated.published(later)))
    assert {key.key_id for key in jwks.keys} == {"RSA_1", "EC384_1"}


def test_keys_from_before_certificates_are_published_without_one(
    first: Outbound,
) -> None:
    account = Account(
        account_id=ACCOUNT, alias=None, session_salt=b"", created_at=NOW, options={}
    )
    kept: Any = with_outbound(account, first).options[OPTION]
    for row in kept["keys"]:
        del row["certificate"]
    older = find_outbound(replace(account, options={OPTION: kept}))
    assert older is not None
    published: Any = key_set(older.published(NOW))["keys"]
    assert all("x5c" not in key for key in published)
    kept_again = find_outbound(with_outbound(account, older))
    assert kept_again == older


def test_a_new_key_is_published_before_it_signs_and_the_old_one_afterwards(
    first: Outbound,
) -> None:
    rotated = rotate(ACCOUNT, first, Sealer(), NOW)
    signs = NOW + PUBLISHED_BEFORE
    ends = signs + PUBLISHED_AFTER
    both = {"RSA_0", "RSA_1", "EC384_0", "EC384_1"}
    for moment, signing, published in (
        (NOW, "RSA_0", both),
        (signs - SECOND, "RSA_0", both),
        (signs, "RSA_1", both),
        (ends - SECOND, "RSA_1", both),
        (ends, "RSA_1", {"RSA_1", "EC384_1"}),
    ):
        key = rotated.find_signing(Algorithm.RS256, moment)
        assert key is not None
        assert key.kid == signing
        assert kids(rotated, moment) == published


def test_the_keys_that_sign_are_published_first(first: Outbound) -> None:
    """Ceph 18 tries only the first key, so it needs RS256."""
    rotated = rotate(ACCOUNT, first, Sealer(), NOW)
    old, new = ["RSA_0", "EC384_0"], ["RSA_1", "EC384_1"]
    signs = NOW + PUBLISHED_BEFORE
    for moment, order in ((signs - SECOND, old + new), (signs, new + old)):
        assert [key.kid for key in rotated.published(moment)] == order
    later = rotate(ACCOUNT, rotated, Sealer(), signs)
    assert [key.kid for key in later.keys][:4] == old + new  # kept oldest first


def test_rotation_drops_keys_that_are_over_and_counts_on(first: Outbound) -> None:
    rotated = rotate(ACCOUNT, first, Sealer(), NOW)
    later = NOW + PUBLISHED_BEFORE + PUBLISHED_AFTER
    again = rotate(ACCOUNT, rotated, Sealer(), later)
    assert {key.kid for key in again.keys} == {
        *("RSA_1", "RSA_2", "EC384_1", "EC384_2")
    }


def test_the_state_is_kept_with_the_account(first: Outbound) -> None:
    account = Account(
        account_id=ACCOUNT,
        alias=None,
        session_salt=b"",
        created_at=NOW,
        options={"Other": 1},
    )
    assert find_outbound(account) is None
    kept = with_outbound(account, first)
    assert find_outbound(kept) == first
    assert kept.options["Other"] == 1


def test_keys_are_sealed_again_for_their_own_place(first: Outbound) -> None:
    sealer = Sealer()
    assert reseal(ACCOUNT, first, sealer) == first
    sealer.generation = b"2"
    anew = reseal(ACCOUNT, first, sealer)
    assert all(key.sealed[:1] == b"2" for key in anew.keys)
    key = anew.find_signing(Algorithm.ES384, NOW)
    assert key is not None
    assert sign(ACCOUNT, key, sealer, {})
